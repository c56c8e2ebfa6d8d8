<?php
/**
 * The outbox: what the site has to tell the server is stored here before anything is sent, so it survives whatever
 * ends the request.
 *
 * States: `waiting`; at the end `sent`, `refused` (by the server, or here), or `expired`.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** Seconds for which a message is tried. */
const ROOM_SERVER_MESSAGE_SECONDS = 3 * DAY_IN_SECONDS;

/** Seconds for which a start, a stop or a change of the call to action is tried: later it would do harm. */
const ROOM_SERVER_ORDER_SECONDS = HOUR_IN_SECONDS;

/** Seconds after which a message may be claimed again whose sender has not told how it ended. */
const ROOM_SERVER_LEASE_SECONDS = 60;

/**
 * Store a message. It is sent after the answer to the visitor, and by cron until the server has taken it.
 *
 * @param string               $hook    The hook's name.
 * @param array<string, mixed> $payload Its payload.
 * @param array<string, mixed> $more    Other columns: `role` and `subject` of an order, `expires_at`, or `state` and
 *                                      `error` of what is refused here.
 */
function room_server_put( $hook, array $payload, array $more = array() ) {
	global $wpdb;
	$now = time();
	$row = $more + array(
		'message_id' => 'wp_' . str_replace( '-', '', wp_generate_uuid4() ),
		'hook'       => $hook,
		'webinar_id' => isset( $payload['webinar_id'] ) ? $payload['webinar_id'] : '',
		'lead_id'    => room_server_lead_in( $payload ),
		'body'       => wp_json_encode( $payload ),
		'next_at'    => $now,
		'expires_at' => $now + ROOM_SERVER_MESSAGE_SECONDS,
		'created_at' => $now,
		'error'      => '',
	);
	if ( ! $wpdb->insert( room_server_table( 'outbox' ), $row ) ) {
		error_log( "Room Server: $hook could not be stored: $wpdb->last_error" );
		return;
	}
	if ( isset( $more['state'] ) ) {
		error_log( "Room Server: $hook was refused: $row[error]" );
	} else {
		room_server_send_after_answer();
	}
}

/**
 * The one lead that a payload is about, or 0.
 *
 * @param array<string, mixed> $payload A hook's payload.
 * @return int
 */
function room_server_lead_in( array $payload ) {
	if ( isset( $payload['leads'] ) ) {
		return 1 === count( $payload['leads'] ) ? (int) $payload['leads'][0]['lead_id'] : 0;
	}
	return isset( $payload['lead_id'] ) ? (int) $payload['lead_id'] : 0;
}

/**
 * Take messages of a webinar out that wait and were never tried: a newer one says all that they say.
 *
 * @param string $hook       The hook's name.
 * @param string $webinar_id The webinar.
 */
function room_server_supersede( $hook, $webinar_id ) {
	global $wpdb;
	$wpdb->delete(
		room_server_table( 'outbox' ),
		array(
			'hook'       => $hook,
			'webinar_id' => $webinar_id,
			'state'      => 'waiting',
			'attempts'   => 0,
		)
	);
}

/**
 * Give up what has waited too long.
 */
function room_server_expire() {
	global $wpdb;
	$table = room_server_table( 'outbox' );
	$sql   = "UPDATE $table SET state = 'expired', body = '' WHERE state = 'waiting' AND expires_at <= %d";
	$wpdb->query( $wpdb->prepare( $sql, time() ) );
}

/**
 * Claim the oldest message that is due. Messages of one webinar stay in order: the first one that waits holds the
 * others back. Who claims a message has a minute to tell how it ended; two can never claim it at the same time.
 *
 * @return object|null Its row, `attempts` counting this one; null when nothing is due.
 */
function room_server_claim_message() {
	global $wpdb;
	$table = room_server_table( 'outbox' );
	$first = "SELECT 1 FROM $table AS before_it WHERE before_it.webinar_id = it.webinar_id
		AND before_it.state = 'waiting' AND before_it.seq < it.seq";
	$due   = "SELECT * FROM $table AS it WHERE state = 'waiting' AND next_at <= %d
		AND (webinar_id = '' OR NOT EXISTS ($first)) ORDER BY seq LIMIT 1";
	$claim = "UPDATE $table SET attempts = attempts + 1, next_at = %d
		WHERE seq = %d AND attempts = %d AND state = 'waiting'";
	do {
		$now = time();
		$row = $wpdb->get_row( $wpdb->prepare( $due, $now ) );
		if ( ! $row ) {
			return null;
		}
		$claimed = $wpdb->query( $wpdb->prepare( $claim, $now + ROOM_SERVER_LEASE_SECONDS, $row->seq, $row->attempts ) );
	} while ( 1 !== $claimed );
	++$row->attempts;
	return $row;
}

/**
 * Keep how an attempt ended. The body of what is over goes: it may hold a name.
 *
 * @param object               $row    The claimed row.
 * @param array<string, mixed> $values `state`, `status`, `error`, `next_at`.
 */
function room_server_record( $row, array $values ) {
	global $wpdb;
	if ( 'waiting' !== $values['state'] ) {
		$values['body'] = '';
	}
	if ( 'sent' === $values['state'] && 'core_lead_forget' === $row->hook ) {
		$values['lead_id'] = 0; // Nothing here knows the lead any longer.
	}
	$values['error'] = room_server_error_text( $values['error'] );
	$still           = array(
		'seq'      => $row->seq,
		'attempts' => $row->attempts,
	);
	$wpdb->update( room_server_table( 'outbox' ), $values, $still );
}

/**
 * Whether this site has told the server a fact of a lead, or is about to.
 *
 * @param string $hook       The hook's name.
 * @param string $webinar_id The webinar.
 * @param int    $lead_id    The lead.
 * @return bool
 */
function room_server_outbox_has( $hook, $webinar_id, $lead_id ) {
	global $wpdb;
	$table = room_server_table( 'outbox' );
	$sql   = "SELECT 1 FROM $table WHERE lead_id = %d AND webinar_id = %s AND hook = %s
		AND state IN ('waiting', 'sent') LIMIT 1";
	return (bool) $wpdb->get_var( $wpdb->prepare( $sql, $lead_id, $webinar_id, $hook ) );
}

/**
 * The newest message of a hook about a webinar.
 *
 * @param string $hook       The hook's name.
 * @param string $webinar_id The webinar.
 * @return object|null
 */
function room_server_last_message( $hook, $webinar_id ) {
	global $wpdb;
	$table = room_server_table( 'outbox' );
	$sql   = "SELECT * FROM $table WHERE webinar_id = %s AND hook = %s ORDER BY seq DESC LIMIT 1";
	return $wpdb->get_row( $wpdb->prepare( $sql, $webinar_id, $hook ) );
}
