<?php
/**
 * The room inside a page of the site. The person's own link is made at each view, and no cache may keep it.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** What the frame of the room may do; without it the player has no sound at its start and no full screen. */
const ROOM_SERVER_FRAME_ALLOWS = 'autoplay; fullscreen; picture-in-picture; encrypted-media';

add_action( 'template_redirect', 'room_server_protect_page' );

/**
 * Before anything is printed: keep caches from a page that will have a person's link.
 */
function room_server_protect_page() {
	$post = is_singular() ? get_post() : null;
	if ( ! $post ) {
		return;
	}
	foreach ( array( 'room', 'register' ) as $name ) {
		if ( has_shortcode( $post->post_content, "room_server_$name" ) || has_block( "room-server/$name", $post ) ) {
			room_server_never_cache();
		}
	}
}

/**
 * Keep every cache from this page: those of WordPress plugins by their constants, all others by headers.
 *
 * @return bool False when the headers are sent already, without ours among them: no link may be printed then.
 */
function room_server_never_cache() {
	static $told = false;
	foreach ( array( 'DONOTCACHEPAGE', 'DONOTCACHEOBJECT', 'DONOTCACHEDB' ) as $constant ) {
		if ( ! defined( $constant ) ) {
			define( $constant, true );
		}
	}
	if ( ! $told && ! headers_sent() ) {
		nocache_headers();
		header( 'Cache-Control: private, no-store, max-age=0' );
		$told = true;
	}
	return $told;
}

/**
 * A webinar's room, as a visitor sees it.
 *
 * @param string $webinar_id The webinar.
 * @return string HTML.
 */
function room_server_room( $webinar_id ) {
	if ( ! room_server_is_configured() ) {
		return room_server_note( __( 'The room is not open yet.', 'room-server' ) );
	}
	if ( ! is_user_logged_in() ) {
		return room_server_login_prompt( __( 'Log in to enter the room', 'room-server' ) );
	}
	$post_id = room_server_post_of( $webinar_id );
	if ( is_feed() || ! room_server_never_cache() ) {
		$url = $post_id ? get_permalink( $post_id ) : home_url( '/' );
		return '<p>' . room_server_link( $url, __( 'To the room', 'room-server' ) ) . '</p>';
	}
	$console = room_server_console_link( $webinar_id );
	if ( '' !== $console ) {
		$console = '<p>' . room_server_link( $console, __( 'Speaker’s console', 'room-server' ), 'room-server-console' ) . '</p>';
	}
	$user    = wp_get_current_user();
	$lead_id = room_server_lead_of( $user->ID );
	if ( ! $lead_id ) {
		return $console . room_server_note( __( 'Your account is not linked to a participant yet. Please write to the organizers.', 'room-server' ) );
	}
	$link = room_server_room_link( $webinar_id, $lead_id, $user->display_name, room_server_time_of( $post_id ) );
	return $console . sprintf(
		'<iframe class="room-server-room" src="%s" title="%s" allow="%s" allowfullscreen></iframe>',
		esc_url( $link ),
		esc_attr( $post_id ? room_server_plain( get_the_title( $post_id ) ) : $webinar_id ),
		esc_attr( ROOM_SERVER_FRAME_ALLOWS )
	) . room_server_telegram_offer( $webinar_id );
}

/**
 * A sentence to the visitor.
 *
 * @param string $text The sentence.
 * @param string $kind A word for style sheets and tests.
 * @return string HTML.
 */
function room_server_note( $text, $kind = 'note' ) {
	return sprintf( '<p class="room-server-note" data-room-server="%s">%s</p>', esc_attr( $kind ), esc_html( $text ) );
}

/**
 * The way to log in and back to this page.
 *
 * @param string $text What the link says.
 * @return string HTML.
 */
function room_server_login_prompt( $text ) {
	$links = array( wp_login_url( (string) get_permalink() ) => $text );
	if ( get_option( 'users_can_register' ) ) {
		$links[ wp_registration_url() ] = __( 'I have no account yet', 'room-server' );
	}
	$html = '';
	foreach ( $links as $url => $says ) {
		$html .= sprintf( '<p class="room-server-note">%s</p>', room_server_link( $url, $says ) );
	}
	return $html;
}
