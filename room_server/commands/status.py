"""The operator's changes of state: `room-server webinar schedule`, `pause`, `resume`, `stop`, `archive`, `cancel`."""

from typing import Any

import click

from room_server.commands.common import OPERATOR, state_options, webinar_argument, with_transactions
from room_server.core.decision_types import OperatorAction
from room_server.core.lifecycle import Trigger
from room_server.core.site_hooks import CancelWebinar
from room_server.operations import webinars
from room_server.transactions import Transactions


def _transition_command(trigger: Trigger, explanation: str) -> click.Command:
    """The command that moves a webinar by `trigger`."""

    @click.command(name=trigger.value, help=f"{explanation}\n\n\b\nExample:\n  room-server webinar {trigger} launch")
    @webinar_argument
    @state_options
    def move(webinar_id: str, **flags: Any) -> None:
        async def work(transactions: Transactions) -> None:
            done = await webinars.move(transactions, OPERATOR, OperatorAction(webinar_id, trigger))
            click.echo(f"{webinar_id} is{' already' if done.duplicate else ''} {done.status}")

        with_transactions(flags, work)

    return move


@click.command()
@webinar_argument
@click.option("--silent", is_flag=True, help="Do not tell registered leads.")
@state_options
def cancel(webinar_id: str, silent: bool, **flags: Any) -> None:
    """Call a webinar off before it has begun.

    The pages say so, it cannot be started, and nobody is evaluated. Registered leads are told by Telegram, unless
    --silent. A new time brings it back: `webinar set --at`.

    \b
    Example:
      room-server webinar cancel launch
    """

    async def work(transactions: Transactions) -> None:
        done = await webinars.cancel(transactions, OPERATOR, CancelWebinar(webinar_id=webinar_id, silent=silent))
        click.echo(f"{webinar_id} is{' already' if done.duplicate else ''} cancelled")

    with_transactions(flags, work)


COMMANDS = (
    _transition_command(Trigger.SCHEDULE, "Publish a draft on the schedule."),
    _transition_command(Trigger.PAUSE, "A technical pause: the time on air stands still."),
    _transition_command(Trigger.RESUME, "Go on after a pause."),
    _transition_command(Trigger.STOP, "End a webinar that its speaker forgot to end. It cannot be started again."),
    _transition_command(Trigger.ARCHIVE, "Close a finished webinar for good."),
    cancel,
)
"""To be added to `room-server webinar`."""
