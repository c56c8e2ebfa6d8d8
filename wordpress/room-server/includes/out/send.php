<?php
/**
 * The outbox is sent: after the answer to the visitor, and by cron.
 *
 * An answer is final if it is a 2xx, or a 4xx that has a code of the server's and is none of those that pass. Everything
 * else is tried again, with the same id, at growing intervals.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** Seconds before the second attempt, the third and so on; the last one stays. Each is varied by a fifth. */
const ROOM_SERVER_RETRY_SECONDS = array( 5, 30, 120, 600, 1800, 3600, 7200, 14400 );

/** Seconds that sending may take at the end of a visitor's request. */
const ROOM_SERVER_SEND_SECONDS = 8;

/** Refusals of the server that pass: a wrong secret is mended, a limit ends. */
const ROOM_SERVER_PASSING = array( 401, 408, 425, 429 );

/**
 * Send once this request has been answered.
 */
function room_server_send_after_answer() {
	if ( ! has_action( 'shutdown', 'room_server_finish_and_send' ) ) {
		add_action( 'shutdown', 'room_server_finish_and_send', 100 );
	}
}

/**
 * Let the visitor go, as far as this PHP can, then send.
 */
function room_server_finish_and_send() {
	ignore_user_abort( true );
	if ( function_exists( 'fastcgi_finish_request' ) ) {
		fastcgi_finish_request();
	} elseif ( function_exists( 'litespeed_finish_request' ) ) {
		litespeed_finish_request();
	} else {
		flush();
	}
	room_server_send( ROOM_SERVER_SEND_SECONDS );
}

/**
 * Send what is due, until nothing is, the time is over, or the server seems to be away.
 *
 * @param int $seconds Seconds after which no other message is begun.
 */
function room_server_send( $seconds ) {
	if ( ! room_server_is_configured() ) {
		return;
	}
	$until = microtime( true ) + $seconds;
	room_server_expire();
	while ( microtime( true ) < $until ) {
		$row = room_server_claim_message();
		if ( ! $row ) {
			return;
		}
		$ahead  = (int) get_option( ROOM_SERVER_CLOCK_OPTION, 0 );
		$answer = room_server_post_hook( $row->hook, $row->body, room_server_headers_of( $row ) );
		$values = room_server_outcome( $row, $answer );
		if ( 401 === $answer['status'] && (int) get_option( ROOM_SERVER_CLOCK_OPTION, 0 ) !== $ahead ) {
			$values['next_at'] = time(); // The clock was to blame, and is known now.
		}
		room_server_record( $row, $values );
		if ( 0 === $answer['status'] || $answer['status'] >= 500 ) {
			return;
		}
	}
}

/**
 * The headers that say who sends a message: a token for who gave an order, a signature for the site.
 *
 * @param object $row A row of the outbox.
 * @return array<string, string>
 */
function room_server_headers_of( $row ) {
	if ( '' !== $row->role ) {
		return room_server_bearer( $row->role, $row->subject, $row->webinar_id );
	}
	return room_server_signed_headers( $row->message_id, $row->body );
}

/**
 * What an answer means for a message.
 *
 * @param object               $row    The message, as it was claimed.
 * @param array<string, mixed> $answer See room_server_answer().
 * @return array<string, mixed> The new values of the row.
 */
function room_server_outcome( $row, array $answer ) {
	$status = $answer['status'];
	$values = array(
		'status'  => $status,
		'error'   => $answer['error'],
		'state'   => 'waiting',
		'next_at' => time() + room_server_delay( $row->attempts, $answer['retry_after'] ),
	);
	if ( $status >= 200 && $status < 300 && ! $answer['html'] ) {
		$values['state'] = 'sent';
		$values['error'] = '';
	} elseif ( $status >= 400 && $status < 500 && '' !== $answer['code'] && ! in_array( $status, ROOM_SERVER_PASSING, true ) ) {
		$values['state'] = 'refused';
		$values['error'] = "$answer[code]: $answer[error]";
	} elseif ( '' === $values['error'] ) {
		/* translators: %d: the status of an HTTP answer. */
		$values['error'] = sprintf( __( 'Something between this site and the room server answered with status %d.', 'room-server' ), $status );
	}
	return $values;
}

/**
 * Seconds until the next attempt.
 *
 * @param int $attempts    Attempts so far, at least one.
 * @param int $retry_after Seconds that the server asked for, or 0.
 * @return int
 */
function room_server_delay( $attempts, $retry_after ) {
	$seconds = ROOM_SERVER_RETRY_SECONDS[ min( $attempts, count( ROOM_SERVER_RETRY_SECONDS ) ) - 1 ];
	$varied  = (int) round( $seconds * wp_rand( 80, 120 ) / 100 );
	return max( $varied, min( $retry_after, DAY_IN_SECONDS ) );
}
