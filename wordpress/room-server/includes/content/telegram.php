<?php
/**
 * "Connect Telegram": the way from a page to the organizer's bot, for a lead whose chat the bot does not know.
 *
 * The server makes the address for one lead, and whoever opens it becomes that lead for the bot: only that person may see
 * it.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** The user meta with what the server said lately: an array of webinar's id => `lead`, `url` and `until`. */
const ROOM_SERVER_TELEGRAM_META = 'room_server_telegram';

/** Seconds that the server's word is kept for a user. */
const ROOM_SERVER_TELEGRAM_SECONDS = 30;

/** Seconds that a page may wait for the server's word. */
const ROOM_SERVER_TELEGRAM_TIMEOUT = 1;

/** The transient that says that the server did not answer lately, so that no page waits for it again. */
const ROOM_SERVER_SILENT_TRANSIENT = 'room_server_silent';

/** Seconds that nobody asks a server that did not answer. */
const ROOM_SERVER_SILENT_SECONDS = 30;

/**
 * The link by which the current user connects Telegram.
 *
 * @param string $webinar_id The webinar.
 * @return string HTML; '' for who has not registered or is connected, without a bot, and when the server does not say.
 */
function room_server_telegram_offer( $webinar_id ) {
	$user_id = get_current_user_id();
	$lead_id = room_server_lead_of( $user_id );
	if ( ! $lead_id || ! isset( room_server_registrations( $user_id )[ $webinar_id ] ) || ! room_server_is_configured() ) {
		return '';
	}
	if ( is_feed() || ! room_server_never_cache() ) {
		return '';
	}
	$url = room_server_telegram_url( $webinar_id, $user_id, $lead_id );
	if ( '' === $url ) {
		return '';
	}
	return sprintf(
		'<p class="room-server-telegram"><a href="%s" target="_blank" rel="noopener">%s</a></p>',
		esc_url( $url ),
		esc_html__( 'Connect Telegram', 'room-server' )
	);
}

/**
 * Where a lead connects Telegram, as the server said it within the last ROOM_SERVER_TELEGRAM_SECONDS.
 *
 * @param string $webinar_id The webinar.
 * @param int    $user_id    The user.
 * @param int    $lead_id    The lead that the user is.
 * @return string An address, or ''.
 */
function room_server_telegram_url( $webinar_id, $user_id, $lead_id ) {
	$stored = get_user_meta( $user_id, ROOM_SERVER_TELEGRAM_META, true );
	$fresh  = array();
	foreach ( is_array( $stored ) ? $stored : array() as $id => $said ) {
		if ( $said['until'] > time() && $said['lead'] === $lead_id ) {
			$fresh[ $id ] = $said;
		}
	}
	if ( ! isset( $fresh[ $webinar_id ] ) ) {
		$fresh[ $webinar_id ] = array(
			'lead'  => $lead_id,
			'url'   => room_server_ask_for_telegram( $webinar_id, $lead_id ),
			'until' => time() + ROOM_SERVER_TELEGRAM_SECONDS,
		);
		update_user_meta( $user_id, ROOM_SERVER_TELEGRAM_META, $fresh );
	}
	return $fresh[ $webinar_id ]['url'];
}

/**
 * Ask the server where a lead connects Telegram.
 *
 * @param string $webinar_id The webinar.
 * @param int    $lead_id    The lead, by whose own right it is asked.
 * @return string An address of Telegram's, or ''.
 */
function room_server_ask_for_telegram( $webinar_id, $lead_id ) {
	if ( get_transient( ROOM_SERVER_SILENT_TRANSIENT ) ) {
		return '';
	}
	$bearer = room_server_bearer( 'attendee', (string) $lead_id, $webinar_id );
	$answer = room_server_get( "/rooms/$webinar_id/me", $bearer, ROOM_SERVER_TELEGRAM_TIMEOUT );
	if ( 0 === $answer['status'] || $answer['status'] >= 500 ) {
		set_transient( ROOM_SERVER_SILENT_TRANSIENT, 1, ROOM_SERVER_SILENT_SECONDS );
	}
	$url = isset( $answer['data']['telegram']['url'] ) ? $answer['data']['telegram']['url'] : '';
	return 200 === $answer['status'] && is_string( $url ) && 0 === strpos( $url, 'https://t.me/' ) ? $url : '';
}
