<?php
/**
 * POST /wp-json/room-server/v1/events: the server tells what has happened.
 *
 * A batch is stored whole before it is answered, so the server may forget it. 401 and 503 let the server come again;
 * 400 and 422 refuse what was sent.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** Events in a batch, at most; the server sends a hundred. */
const ROOM_SERVER_BATCH_EVENTS = 1000;

/** Seconds that events may run before the server gets its answer; it waits for 15. */
const ROOM_SERVER_ANSWER_SECONDS = 8;

/** Seconds after which the server is to come again when the table is full or busy. */
const ROOM_SERVER_BUSY_SECONDS = 60;

/** The transient that keeps why the last request was refused, while somebody tests the connection. */
const ROOM_SERVER_REFUSED_TRANSIENT = 'room_server_refused';

add_action( 'rest_api_init', 'room_server_register_endpoint' );

/**
 * Register the address.
 */
function room_server_register_endpoint() {
	register_rest_route(
		'room-server/v1',
		'/events',
		array(
			'methods'             => 'POST',
			'callback'            => 'room_server_receive_events',
			'permission_callback' => 'room_server_check_signature',
		)
	);
}

/**
 * Whether the request is the server's.
 *
 * @param WP_REST_Request $request The request.
 * @return true|WP_Error
 */
function room_server_check_signature( WP_REST_Request $request ) {
	$fault = room_server_signature_fault(
		(string) $request->get_header( 'webhook-id' ),
		(string) $request->get_header( 'webhook-timestamp' ),
		(string) $request->get_header( 'webhook-signature' ),
		$request->get_body()
	);
	if ( '' === $fault ) {
		return true;
	}
	if ( false !== get_transient( ROOM_SERVER_REFUSED_TRANSIENT ) ) { // Somebody is testing the connection.
		set_transient( ROOM_SERVER_REFUSED_TRANSIENT, $fault, ROOM_SERVER_CHECK_SECONDS );
	}
	$reasons = array(
		'unsigned' => 'The request is not signed, or this site has no secret to check it with.',
		'forged'   => 'No signature of this request holds.',
		'stale'    => 'The time of this request is more than five minutes off.',
	);
	return new WP_Error( "room_server_$fault", $reasons[ $fault ], array( 'status' => 401 ) );
}

/**
 * Store the batch, run what there is time for, and answer.
 *
 * @param WP_REST_Request $request A request whose signature holds.
 * @return array|WP_REST_Response|WP_Error
 */
function room_server_receive_events( WP_REST_Request $request ) {
	$events = room_server_events_in( $request->get_json_params() );
	if ( is_wp_error( $events ) ) {
		return $events;
	}
	if ( room_server_inbox_is_full() || ! room_server_store_events( $events ) ) {
		return room_server_busy();
	}
	ignore_user_abort( true );
	room_server_run_events( ROOM_SERVER_ANSWER_SECONDS );
	return array( 'stored' => count( $events ) );
}

/**
 * The answer that asks the server to come again.
 *
 * @return WP_REST_Response
 */
function room_server_busy() {
	$body = array(
		'code'    => 'room_server_busy',
		'message' => 'Events that came before are not done yet.',
	);
	return new WP_REST_Response( $body, 503, array( 'Retry-After' => (string) ROOM_SERVER_BUSY_SECONDS ) );
}

/**
 * The events in a body.
 *
 * @param mixed $body The decoded JSON.
 * @return array[]|WP_Error
 */
function room_server_events_in( $body ) {
	if ( ! is_array( $body ) ) {
		return new WP_Error( 'room_server_malformed', 'The body is no JSON object.', array( 'status' => 400 ) );
	}
	$events = isset( $body['data']['events'] ) ? $body['data']['events'] : null;
	if ( ! isset( $body['type'] ) || 'room_server.events' !== $body['type'] || ! is_array( $events ) || ! $events ) {
		return room_server_invalid( 'The field type is "room_server.events", and data.events a list of events.' );
	}
	if ( count( $events ) > ROOM_SERVER_BATCH_EVENTS ) {
		return new WP_Error( 'room_server_too_many', 'There are too many events in this batch.', array( 'status' => 413 ) );
	}
	foreach ( array_values( $events ) as $index => $event ) {
		$field = room_server_wrong_field( $event );
		if ( '' !== $field ) {
			return room_server_invalid( "data.events[$index].$field is missing, or not what it should be." );
		}
	}
	return array_values( $events );
}

/**
 * The refusal of a body that is JSON but no batch of events.
 *
 * @param string $sentence What is wrong.
 * @return WP_Error
 */
function room_server_invalid( $sentence ) {
	return new WP_Error( 'room_server_invalid', $sentence, array( 'status' => 422 ) );
}

/**
 * The first field of an event that is not lawful, or ''.
 *
 * @param mixed $event An event: `id`, `type`, `webinar_id` (null for an event of no webinar), `data`.
 * @return string
 */
function room_server_wrong_field( $event ) {
	$event  = is_array( $event ) ? $event : array();
	$lawful = array(
		'id'         => isset( $event['id'] ) && is_string( $event['id'] ) && preg_match( '/\A[!-~]{1,191}\z/', $event['id'] ),
		'type'       => isset( $event['type'] ) && is_string( $event['type'] ) && preg_match( '/\A[a-z0-9_]{1,64}\z/', $event['type'] ),
		'webinar_id' => ! isset( $event['webinar_id'] ) || room_server_is_webinar_id( $event['webinar_id'] ),
		'data'       => isset( $event['data'] ) && is_array( $event['data'] ),
	);
	return (string) array_search( false, array_map( 'boolval', $lawful ), true );
}
