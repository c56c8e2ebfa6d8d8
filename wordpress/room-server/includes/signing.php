<?php
/**
 * Signed requests in both directions, by Standard Webhooks (https://www.standardwebhooks.com): a signature over id,
 * time and body, with five minutes' tolerance for the time.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** Seconds by which the time of a signed request may differ from the clock here. */
const ROOM_SERVER_TOLERANCE = 300;

/**
 * The key in a secret, as bytes, or '' when the secret has not the form `whsec_` and base64.
 *
 * @param string $secret One secret.
 * @return string
 */
function room_server_signing_key( $secret ) {
	if ( 0 !== strpos( $secret, 'whsec_' ) ) {
		return '';
	}
	return (string) base64_decode( substr( $secret, strlen( 'whsec_' ) ), true );
}

/**
 * The value of `webhook-signature`: one signature for each secret.
 *
 * @param string   $id      The request's `webhook-id`.
 * @param string   $time    Its `webhook-timestamp`, in Unix seconds.
 * @param string   $body    Its body.
 * @param string[] $secrets Secrets of the form `whsec_…`; those of another form sign nothing.
 * @return string
 */
function room_server_signature( $id, $time, $body, array $secrets ) {
	$signatures = array();
	foreach ( array_filter( array_map( 'room_server_signing_key', $secrets ), 'strlen' ) as $key ) {
		$signatures[] = 'v1,' . base64_encode( hash_hmac( 'sha256', "$id.$time.$body", $key, true ) );
	}
	return implode( ' ', $signatures );
}

/**
 * The headers that sign a request, by the server's clock.
 *
 * @param string $id   The request's id: the same for each attempt to send the same thing.
 * @param string $body Its body.
 * @return array<string, string>
 */
function room_server_signed_headers( $id, $body ) {
	$time = (string) room_server_server_time();
	return array(
		'webhook-id'        => $id,
		'webhook-timestamp' => $time,
		'webhook-signature' => room_server_signature( $id, $time, $body, room_server_secrets( 'hook_secret' ) ),
	);
}

/**
 * What is wrong with a signed request, as a code, or '' when it is the server's: `unsigned`, `stale`, `forged`.
 *
 * @param string $id         Its `webhook-id`.
 * @param string $time       Its `webhook-timestamp`.
 * @param string $signatures Its `webhook-signature`: signatures separated by blanks.
 * @param string $body       Its body as it was sent.
 * @return string
 */
function room_server_signature_fault( $id, $time, $signatures, $body ) {
	$secrets = room_server_secrets( 'events_secret' );
	if ( '' === $id || '' === $signatures || ! preg_match( '/\A[0-9]{1,12}\z/', $time ) || ! $secrets ) {
		return 'unsigned';
	}
	$given = preg_split( '/\s+/', $signatures, -1, PREG_SPLIT_NO_EMPTY );
	$holds = false;
	foreach ( $secrets as $secret ) {
		$expected = room_server_signature( $id, $time, $body, array( $secret ) );
		foreach ( $given as $one ) {
			$holds = ( '' !== $expected && hash_equals( $expected, $one ) ) || $holds;
		}
	}
	if ( ! $holds ) {
		return 'forged';
	}
	return abs( time() - (int) $time ) > ROOM_SERVER_TOLERANCE ? 'stale' : '';
}
