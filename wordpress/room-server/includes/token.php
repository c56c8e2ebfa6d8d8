<?php
/**
 * Tokens: who may enter a room, and who gives an order to the server. A JWT (RFC 7519), signed by HS256 with the first
 * token secret.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** Seconds that a link to a room holds after the planned time, so that it outlives a new time. */
const ROOM_SERVER_LINK_SECONDS = 14 * DAY_IN_SECONDS;

/** Seconds that a link to the speaker's console holds. */
const ROOM_SERVER_CONSOLE_SECONDS = 12 * HOUR_IN_SECONDS;

/** Seconds that a token for a single request holds. */
const ROOM_SERVER_REQUEST_SECONDS = MINUTE_IN_SECONDS;

/**
 * A token with these claims.
 *
 * @param array<string, mixed> $claims `sub`, `role`, `webinar_id` and `exp` (Unix seconds of the server's clock).
 * @return string
 */
function room_server_token( array $claims ) {
	$secrets = room_server_secrets( 'token_secret' );
	$signed  = room_server_base64url( '{"alg":"HS256","typ":"JWT"}' ) . '.' . room_server_base64url( wp_json_encode( $claims ) );
	return $signed . '.' . room_server_base64url( hash_hmac( 'sha256', $signed, (string) reset( $secrets ), true ) );
}

/**
 * Text in the alphabet of tokens and links (RFC 4648, 5), without padding.
 *
 * @param string $bytes Any bytes.
 * @return string
 */
function room_server_base64url( $bytes ) {
	return rtrim( strtr( base64_encode( $bytes ), '+/', '-_' ), '=' );
}

/**
 * The `Authorization` header for one request.
 *
 * @param string $role       A role of the server's.
 * @param string $subject    Who it is, as events tell it afterwards.
 * @param string $webinar_id The webinar that the token is for, or `*`.
 * @return array<string, string>
 */
function room_server_bearer( $role, $subject, $webinar_id ) {
	$claims = array(
		'sub'        => $subject,
		'role'       => $role,
		'webinar_id' => $webinar_id,
		'exp'        => room_server_server_time() + ROOM_SERVER_REQUEST_SECONDS,
	);
	return array( 'Authorization' => 'Bearer ' . room_server_token( $claims ) );
}

/**
 * The subject of this site's orders, which events tell again: another one than that of a person's own links, and
 * different for each site that shares a server.
 *
 * @param int|string $user_id A user of this site; '' for the beginning that all have in common.
 * @return string
 */
function room_server_order_subject( $user_id = '' ) {
	return 'site-' . substr( md5( home_url() ), 0, 8 ) . "-user-$user_id";
}

/**
 * The personal link of a lead to a room. It is a right to enter: only that person may see it.
 *
 * @param string $webinar_id   The webinar.
 * @param int    $lead_id      The lead.
 * @param string $name         The lead's name, as the speaker sees it.
 * @param int    $scheduled_at The planned time in Unix seconds, or 0.
 * @return string
 */
function room_server_room_link( $webinar_id, $lead_id, $name, $scheduled_at ) {
	$claims = array(
		'sub'        => (string) $lead_id,
		'role'       => 'attendee',
		'webinar_id' => $webinar_id,
		'exp'        => max( $scheduled_at, room_server_server_time() ) + ROOM_SERVER_LINK_SECONDS,
		'name'       => $name,
	);
	return room_server_url() . "/room/$webinar_id#token=" . room_server_token( $claims );
}

/**
 * The link of the current user to the speaker's console, or '' for who is neither organizer nor speaker.
 *
 * @param string $webinar_id The webinar.
 * @return string
 */
function room_server_console_link( $webinar_id ) {
	$role = room_server_role();
	if ( '' === $role || ! room_server_is_configured() ) {
		return '';
	}
	$claims = array(
		'sub'        => 'console-' . get_current_user_id(),
		'role'       => $role,
		'webinar_id' => $webinar_id,
		'exp'        => room_server_server_time() + ROOM_SERVER_CONSOLE_SECONDS,
	);
	return room_server_url() . "/speaker/$webinar_id#token=" . room_server_token( $claims );
}

/**
 * The current user's role on the server: an administrator is organizer, who has `room_server_speak` is speaker.
 *
 * @return string A role, or '' for everybody else.
 */
function room_server_role() {
	if ( current_user_can( 'manage_options' ) ) {
		return 'organizer';
	}
	return current_user_can( 'room_server_speak' ) ? 'speaker' : '';
}
