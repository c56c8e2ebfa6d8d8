"""Post Webinar Routing Service: the classification of a lead decides its route."""

from msgspec.structs import replace

from room_server.core.decision_types import DecisionContext, Reaction
from room_server.core.messages import AttendanceClassified, PostWebinarRoute, Route


def route(event: AttendanceClassified, context: DecisionContext) -> Reaction:
    """Record the lead's route with its participation and emit it."""
    lead_route: Route = "attended" if event.attended else "not_attended"
    return Reaction(
        participation=context.participation and replace(context.participation, route=lead_route),
        emit=(
            PostWebinarRoute(
                lead_id=event.lead_id,
                webinar_id=event.webinar_id,
                attended=event.attended,
                timestamp=event.timestamp,
                route=lead_route,
            ),
        ),
    )
