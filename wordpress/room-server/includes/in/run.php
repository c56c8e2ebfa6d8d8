<?php
/**
 * Events become actions. One request at a time runs them, in the order in which they came.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** The events whose data is the action's first argument, and the event its second. */
const ROOM_SERVER_DATA_ACTIONS = array(
	'client_webinar_entered',
	'client_webinar_completed',
	'client_webinar_cta_clicked',
	'webinar_completed',
	'client_webinar_attendance_classified',
	'post_webinar_route',
	'core_site_checked',
);

/** The events whose action has the arguments that it has when this site fires it, and the field for the second. */
const ROOM_SERVER_CORE_ACTIONS = array(
	'core_webinar_set_status'         => 'status',
	'core_webinar_set_cta_visibility' => 'visible',
);

/**
 * Run events that wait, until none does or the time is over. What is left is run by cron. While another request runs
 * events there is nothing to do: it looks for more before it ends.
 *
 * @param int $seconds Seconds after which no other event is begun.
 */
function room_server_run_events( $seconds ) {
	$until = microtime( true ) + $seconds;
	if ( ! room_server_lock_events() ) {
		return;
	}
	room_server_mark_interrupted();
	do {
		$rows = room_server_waiting_events();
		foreach ( $rows as $row ) {
			if ( microtime( true ) < $until && room_server_claim_event( $row ) ) {
				room_server_finish_event( $row, room_server_run_event( json_decode( $row->body, true ) ) );
			}
		}
	} while ( $rows && microtime( true ) < $until );
	room_server_unlock_events();
	if ( room_server_waiting_events() ) {
		room_server_work_soon();
	}
}

/**
 * Do the actions of one event.
 *
 * @param array $event The event as the server sent it.
 * @return string[] A sentence for each listener that threw.
 */
function room_server_run_event( array $event ) {
	$failures = array();
	foreach ( room_server_actions_of( $event ) as $action => $arguments ) {
		$failures = array_merge( $failures, Room_Server_Guarded_Listener::do_action( $action, $arguments ) );
	}
	foreach ( $failures as $failure ) {
		error_log( "Room Server: a listener of {$event['type']} ({$event['id']}) failed. $failure" );
	}
	return $failures;
}

/**
 * The actions of an event with their arguments. A fact that this site sent itself has had its action already.
 *
 * @param array $event The event.
 * @return array<string, array>
 */
function room_server_actions_of( array $event ) {
	$all  = array( 'room_server_event' => array( $event ) );
	$type = $event['type'];
	$data = $event['data'];
	if ( room_server_has_sent( $event ) ) {
		return $all;
	}
	if ( isset( ROOM_SERVER_CORE_ACTIONS[ $type ] ) ) {
		$field   = ROOM_SERVER_CORE_ACTIONS[ $type ];
		$context = isset( $data['context'] ) && is_array( $data['context'] ) ? $data['context'] : array();
		$value   = isset( $data[ $field ] ) ? $data[ $field ] : null;
		return array( $type => array( $event['webinar_id'], $value, array( 'event' => $event ) + $context ) ) + $all;
	}
	if ( in_array( $type, ROOM_SERVER_DATA_ACTIONS, true ) ) {
		return array( $type => array( $data, $event ) ) + $all;
	}
	return $all;
}

/**
 * Whether this site fired the event's action itself and sent it to the server.
 *
 * An order is known by the subject that the server saw. A lead's fact is known by its row in the outbox, whoever was
 * first: the action has run here for that lead.
 *
 * @param array $event The event.
 * @return bool
 */
function room_server_has_sent( array $event ) {
	if ( isset( ROOM_SERVER_CORE_ACTIONS[ $event['type'] ] ) ) {
		$subject = isset( $event['actor']['subject'] ) ? (string) $event['actor']['subject'] : '';
		return 0 === strpos( $subject, room_server_order_subject() );
	}
	return isset( $event['data']['lead_id'] )
		&& room_server_outbox_has( $event['type'], (string) $event['webinar_id'], (int) $event['data']['lead_id'] );
}
