<?php
/**
 * The mission's own actions, fired by the site's code, become messages to the server:
 *
 *     do_action( 'core_webinar_set_status', 'launch', 'start' );
 *     do_action( 'core_webinar_set_cta_visibility', 'launch', true );
 *     do_action( 'client_webinar_entered', array( 'webinar_id' => 'launch', 'lead_id' => 42 ) );
 *     do_action( 'client_webinar_completed', array( 'webinar_id' => 'launch', 'lead_id' => 42 ) );
 *
 * The same actions are fired for what the server tells. Those carry the server's event and are never sent back.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** What the site may say of itself in an order: the fields that the server knows. */
const ROOM_SERVER_CONTEXT_FIELDS = array( 'source', 'actor_id', 'timestamp' );

add_action( 'core_webinar_set_status', 'room_server_set_status', 10, 3 );
add_action( 'core_webinar_set_cta_visibility', 'room_server_set_cta_visibility', 10, 3 );
add_action( 'client_webinar_entered', 'room_server_entered', 10, 2 );
add_action( 'client_webinar_completed', 'room_server_completed', 10, 2 );

/**
 * Start or stop a webinar.
 *
 * @param string $webinar_id The webinar.
 * @param string $status     `start` or `stop`.
 * @param array  $context    What the caller says of itself; it decides nothing.
 */
function room_server_set_status( $webinar_id, $status = '', $context = array() ) {
	room_server_order( 'core_webinar_set_status', $webinar_id, array( 'status' => (string) $status ), $context );
}

/**
 * Show or hide a webinar's call to action.
 *
 * @param string $webinar_id The webinar.
 * @param bool   $visible    Whether it is to be shown.
 * @param array  $context    What the caller says of itself; it decides nothing.
 */
function room_server_set_cta_visibility( $webinar_id, $visible = false, $context = array() ) {
	room_server_order( 'core_webinar_set_cta_visibility', $webinar_id, array( 'visible' => (bool) $visible ), $context );
}

/**
 * Put an order into the outbox, in the role that the current user has now.
 *
 * @param string               $hook       The hook's name.
 * @param mixed                $webinar_id The webinar.
 * @param array<string, mixed> $payload    The order itself.
 * @param mixed                $context    The action's context.
 */
function room_server_order( $hook, $webinar_id, array $payload, $context ) {
	$context = is_array( $context ) ? $context : array();
	if ( isset( $context['event'] ) ) {
		return;
	}
	$role    = room_server_role();
	$payload = array( 'webinar_id' => (string) $webinar_id ) + $payload;
	$payload = $payload + array( 'context' => room_server_context( $context ) );
	$more    = array(
		'role'       => $role,
		'subject'    => room_server_order_subject( get_current_user_id() ),
		'expires_at' => time() + ROOM_SERVER_ORDER_SECONDS,
	);
	if ( ! room_server_is_webinar_id( $payload['webinar_id'] ) ) {
		$payload['webinar_id'] = '';
		$more                 += room_server_refused( __( 'The first argument is no id of a webinar.', 'room-server' ) );
	} elseif ( '' === $role ) {
		$more += room_server_refused( __( 'Nobody was logged in who may do this: an administrator, or a user who may room_server_speak.', 'room-server' ) );
	}
	room_server_put( $hook, $payload, $more );
}

/**
 * The columns of a message that is refused here, so that the site's owner finds it among the deliveries.
 *
 * @param string $sentence Why.
 * @return array<string, string>
 */
function room_server_refused( $sentence ) {
	return array(
		'state' => 'refused',
		'error' => $sentence,
	);
}

/**
 * The context that the server gets: where the order came from, and which user gave it.
 *
 * @param array<string, mixed> $context The action's context.
 * @return array<string, mixed>
 */
function room_server_context( array $context ) {
	$known = array_intersect_key( $context, array_flip( ROOM_SERVER_CONTEXT_FIELDS ) );
	return array_filter( $known, 'is_scalar' ) + array(
		'source'    => 'wordpress',
		'actor_id'  => get_current_user_id(),
		'timestamp' => time(),
	);
}

/**
 * A lead has entered a webinar.
 *
 * @param array      $payload `webinar_id`, `lead_id`, and perhaps `timestamp` and `session_id`.
 * @param array|null $event   The server's event, when the server tells this.
 */
function room_server_entered( $payload, $event = null ) {
	if ( ! is_array( $event ) ) {
		room_server_fact( 'client_webinar_entered', $payload, 'timestamp' );
	}
}

/**
 * A lead has stayed in a webinar to its end.
 *
 * @param array      $payload `webinar_id`, `lead_id`, and perhaps `completed_at` and `session_id`.
 * @param array|null $event   The server's event, when the server tells this.
 */
function room_server_completed( $payload, $event = null ) {
	if ( ! is_array( $event ) ) {
		room_server_fact( 'client_webinar_completed', $payload, 'completed_at' );
	}
}

/**
 * Put a fact of a lead into the outbox.
 *
 * @param string $hook    The hook's name.
 * @param mixed  $payload The action's payload.
 * @param string $time    The field that says when.
 */
function room_server_fact( $hook, $payload, $time ) {
	$payload = ( is_array( $payload ) ? $payload : array() ) + array(
		'webinar_id' => '',
		'lead_id'    => 0,
		$time        => time(),
	);
	$lead_id = room_server_lawful_lead_id( $payload['lead_id'] );
	if ( ! room_server_is_webinar_id( $payload['webinar_id'] ) || ! $lead_id ) {
		$more = room_server_refused( __( 'The payload has no lawful webinar_id and lead_id.', 'room-server' ) );
		room_server_put( $hook, array(), $more );
		return;
	}
	$payload['lead_id'] = $lead_id;
	room_server_put( $hook, $payload );
}
