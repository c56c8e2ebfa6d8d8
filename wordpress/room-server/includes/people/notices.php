<?php
/**
 * Notices in the admin: settings that are missing, fields that were not lawful, and orders that never reached the
 * server.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** The user meta with the newest row of the outbox that this user has been told of. */
const ROOM_SERVER_SEEN_META = 'room_server_seen';

add_action( 'admin_notices', 'room_server_show_notices' );
add_action( 'admin_post_room_server_seen', 'room_server_handle_seen' );

/**
 * Show the notices.
 */
function room_server_show_notices() {
	$wrong = isset( $_GET['room_server_wrong'] ) ? explode( ',', sanitize_text_field( wp_unslash( $_GET['room_server_wrong'] ) ) ) : array();
	foreach ( array_intersect_key( room_server_fields(), array_flip( $wrong ) ) as list( $label ) ) {
		/* translators: %s: name of a field. */
		room_server_notice( 'error', esc_html( sprintf( __( '%s: this is not lawful, so it was left as it was. Addresses begin with https:// or http://.', 'room-server' ), $label ) ) );
	}
	if ( ! current_user_can( 'manage_options' ) ) {
		return;
	}
	if ( is_multisite() ) {
		room_server_notice( 'error', esc_html__( 'Room Server does not support a network of sites (multisite). Use it on a WordPress of its own.', 'room-server' ) );
	}
	if ( ! room_server_is_configured() ) {
		$link = room_server_link( room_server_page_url( ROOM_SERVER_SETTINGS_PAGE ), __( 'Settings', 'room-server' ) );
		room_server_notice( 'warning', esc_html__( 'Room Server needs the address of the room server and its secrets.', 'room-server' ) . " $link" );
	}
	room_server_show_lost();
}

/**
 * Show one notice.
 *
 * @param string $kind `error` or `warning`.
 * @param string $html Its text, escaped.
 */
function room_server_notice( $kind, $html ) {
	printf( '<div class="notice notice-%s" data-room-server="notice"><p>%s</p></div>', esc_attr( $kind ), wp_kses_post( $html ) );
}

/**
 * Tell of messages of the last day that the server did not take, until this user has seen them.
 */
function room_server_show_lost() {
	global $wpdb;
	$table = room_server_table( 'outbox' );
	$sql   = "SELECT seq, hook, webinar_id, state, error FROM $table
		WHERE state IN ('expired', 'refused') AND created_at > %d AND seq > %d ORDER BY seq DESC LIMIT 5";
	$seen  = (int) get_user_meta( get_current_user_id(), ROOM_SERVER_SEEN_META, true );
	$rows  = $wpdb->get_results( $wpdb->prepare( $sql, time() - 4 * DAY_IN_SECONDS, $seen ) );
	if ( ! $rows ) {
		return;
	}
	$lines = array( esc_html__( 'The room server did not take what this site told it:', 'room-server' ) );
	foreach ( $rows as $row ) {
		$lines[] = esc_html( trim( "$row->hook $row->webinar_id. " . room_server_state_label( $row->state ) . " $row->error" ) );
	}
	$seen_url = wp_nonce_url( admin_url( "admin-post.php?action=room_server_seen&seq={$rows[0]->seq}" ), 'room_server_seen' );
	$links    = array(
		room_server_link( room_server_page_url( ROOM_SERVER_DELIVERIES_PAGE ), __( 'Deliveries', 'room-server' ) ),
		room_server_link( $seen_url, __( 'I have seen this', 'room-server' ) ),
	);
	room_server_notice( 'error', implode( '<br>', $lines ) . '<br>' . implode( ' · ', $links ) );
}

/**
 * Keep how far this user has been told.
 */
function room_server_handle_seen() {
	check_admin_referer( 'room_server_seen' );
	if ( current_user_can( 'manage_options' ) ) {
		update_user_meta( get_current_user_id(), ROOM_SERVER_SEEN_META, isset( $_GET['seq'] ) ? absint( $_GET['seq'] ) : 0 );
	}
	wp_safe_redirect( wp_get_referer() ? wp_get_referer() : room_server_page_url( ROOM_SERVER_DELIVERIES_PAGE ) );
	exit;
}
