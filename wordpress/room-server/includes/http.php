<?php
/**
 * Requests to the room server, and the server's clock.
 *
 * The server's clock is learned from the `Date` of its answers, because a token lives for a minute and the clock of a
 * site may be minutes off.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** Seconds that a request may take. */
const ROOM_SERVER_TIMEOUT = 10;

/** The option with the seconds by which the server's clock is ahead of this one; small differences are not kept. */
const ROOM_SERVER_CLOCK_OPTION = 'room_server_clock_ahead';

/**
 * The time by the server's clock, in Unix seconds.
 *
 * @return int
 */
function room_server_server_time() {
	return time() + (int) get_option( ROOM_SERVER_CLOCK_OPTION, 0 );
}

/**
 * Send a hook to the server.
 *
 * @param string                $hook    The hook's name.
 * @param string                $body    Its payload as JSON.
 * @param array<string, string> $headers Headers that say who sends it.
 * @return array<string, mixed> See room_server_answer().
 */
function room_server_post_hook( $hook, $body, array $headers ) {
	$arguments = array(
		'method'      => 'POST',
		'timeout'     => ROOM_SERVER_TIMEOUT,
		'redirection' => 0,
		'headers'     => array( 'Content-Type' => 'application/json' ) + $headers,
		'body'        => $body,
	);
	return room_server_answer( wp_remote_post( room_server_url() . "/hooks/$hook", $arguments ) );
}

/**
 * Read from the server.
 *
 * @param string                $path    The path with its query.
 * @param array<string, string> $headers Headers that say who asks.
 * @param int                   $timeout Seconds to wait at most.
 * @return array<string, mixed> See room_server_answer().
 */
function room_server_get( $path, array $headers = array(), $timeout = ROOM_SERVER_TIMEOUT ) {
	$arguments = array(
		'timeout'     => $timeout,
		'redirection' => 0,
		'headers'     => $headers,
	);
	return room_server_answer( wp_remote_get( room_server_url() . $path, $arguments ) );
}

/**
 * What came back.
 *
 * @param array|WP_Error $response The answer of WordPress' HTTP API.
 * @return array<string, mixed> `status` (0 when nothing came), `data` (the JSON object, or an empty array), `code` (of
 *                              a refusal, or ''), `error` (a sentence, or ''), `html` (whether a page came instead),
 *                              `retry_after` (seconds), `policy` (the Content-Security-Policy).
 */
function room_server_answer( $response ) {
	$failed = is_wp_error( $response );
	$body   = $failed ? '' : wp_remote_retrieve_body( $response );
	$data   = json_decode( $body, true );
	$data   = is_array( $data ) ? $data : array();
	if ( ! $failed ) {
		room_server_learn_clock( wp_remote_retrieve_header( $response, 'date' ) );
	}
	return array(
		'status'      => $failed ? 0 : (int) wp_remote_retrieve_response_code( $response ),
		'data'        => $data,
		'code'        => isset( $data['code'] ) && is_string( $data['code'] ) ? $data['code'] : '',
		'error'       => $failed ? $response->get_error_message() : room_server_refusal( $data ),
		'html'        => (bool) preg_match( '/\A\s*(<!doctype\s+html|<html)/i', $body ),
		'retry_after' => $failed ? 0 : room_server_retry_after( wp_remote_retrieve_header( $response, 'retry-after' ) ),
		'policy'      => $failed ? '' : (string) wp_remote_retrieve_header( $response, 'content-security-policy' ),
	);
}

/**
 * The sentence in a refusal (RFC 9457), or ''.
 *
 * @param array<string, mixed> $data The answer's JSON.
 * @return string
 */
function room_server_refusal( array $data ) {
	foreach ( array( 'detail', 'title', 'code' ) as $field ) {
		if ( isset( $data[ $field ] ) && is_string( $data[ $field ] ) && '' !== $data[ $field ] ) {
			return $data[ $field ];
		}
	}
	return '';
}

/**
 * The seconds in a `Retry-After` header: a number, or a date (RFC 9110, 10.2.3).
 *
 * @param string|array $header The header.
 * @return int
 */
function room_server_retry_after( $header ) {
	$header = is_array( $header ) ? (string) reset( $header ) : (string) $header;
	return max( 0, ctype_digit( $header ) ? (int) $header : room_server_http_date( $header ) - time() );
}

/**
 * The moment in a header (RFC 9110, 5.6.7), in Unix seconds.
 *
 * @param string $text Such as `Sun, 06 Nov 1994 08:49:37 GMT`.
 * @return int 0 for what is no such date.
 */
function room_server_http_date( $text ) {
	$moment = DateTimeImmutable::createFromFormat( DATE_RFC7231, $text, new DateTimeZone( 'UTC' ) );
	return $moment ? $moment->getTimestamp() : 0;
}

/**
 * Keep how far the server's clock is ahead, when that has changed noticeably.
 *
 * @param string|array $date The `Date` header.
 */
function room_server_learn_clock( $date ) {
	$theirs = is_string( $date ) ? room_server_http_date( $date ) : 0;
	if ( ! $theirs ) {
		return;
	}
	$ahead = $theirs - time();
	if ( abs( $ahead - (int) get_option( ROOM_SERVER_CLOCK_OPTION, 0 ) ) > 5 ) {
		update_option( ROOM_SERVER_CLOCK_OPTION, $ahead );
	}
}
