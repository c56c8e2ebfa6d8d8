"""Post Webinar Routing Service: the classification decides which way a lead is followed up."""

from msgspec.structs import replace

from room_server.core.decision_types import DecisionContext, Reaction
from room_server.core.messages import AttendanceClassified, PostWebinarRoute, Route


def route(event: AttendanceClassified, context: DecisionContext) -> Reaction:
    """The lead's route, kept with its participation and emitted once."""
    way: Route = "attended" if event.attended else "not_attended"
    return Reaction(
        participation=context.participation and replace(context.participation, route=way),
        emit=(
            PostWebinarRoute(
                lead_id=event.lead_id,
                webinar_id=event.webinar_id,
                attended=event.attended,
                timestamp=event.timestamp,
                route=way,
            ),
        ),
    )
