<?php
/**
 * Activation, deactivation, and what the plugin leaves behind when it is deleted.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** The role for who speaks and is no administrator. */
const ROOM_SERVER_SPEAKER_ROLE = 'room_server_speaker';

add_action( 'init', 'room_server_load_translations' );

/**
 * Load the translations that come with the plugin.
 */
function room_server_load_translations() {
	load_plugin_textdomain( 'room-server', false, dirname( plugin_basename( ROOM_SERVER_FILE ) ) . '/languages' );
}

/**
 * Make the tables, the speaker's role and the addresses of webinars. Refused on a network of sites.
 */
function room_server_activate() {
	if ( is_multisite() ) {
		wp_die( esc_html__( 'Room Server does not support a network of sites (multisite). Use it on a WordPress of its own.', 'room-server' ), '', array( 'back_link' => true ) );
	}
	room_server_make_tables();
	room_server_keep_cron();
	room_server_register_post_type();
	flush_rewrite_rules();
	add_role(
		ROOM_SERVER_SPEAKER_ROLE,
		__( 'Webinar speaker', 'room-server' ),
		array(
			'read'              => true,
			'room_server_speak' => true,
		)
	);
}

/**
 * Stop what runs by itself. Tables and settings stay.
 */
function room_server_deactivate() {
	room_server_remove_cron();
	flush_rewrite_rules();
}

/**
 * Delete everything that the plugin has stored, webinars' posts included.
 */
function room_server_delete_data() {
	global $wpdb;
	$posts = get_posts(
		array(
			'post_type'   => ROOM_SERVER_POST_TYPE,
			'post_status' => array_keys( get_post_stati() ), // The word "any" leaves out those in the trash.
			'numberposts' => -1,
			'fields'      => 'ids',
		)
	);
	foreach ( $posts as $post_id ) {
		wp_delete_post( $post_id, true );
	}
	foreach ( array( 'events', 'outbox' ) as $name ) {
		$wpdb->query( 'DROP TABLE IF EXISTS ' . room_server_table( $name ) );
	}
	foreach ( array( ROOM_SERVER_OPTION, ROOM_SERVER_CLOCK_OPTION, 'room_server_tables' ) as $option ) {
		delete_option( $option );
	}
	foreach ( array( 'room_server_schedule', ROOM_SERVER_REFUSED_TRANSIENT, ROOM_SERVER_SILENT_TRANSIENT ) as $transient ) {
		delete_transient( $transient );
	}
	foreach ( array( ROOM_SERVER_LEAD_META, ROOM_SERVER_REGISTERED_META, ROOM_SERVER_TELEGRAM_META, ROOM_SERVER_SEEN_META ) as $key ) {
		delete_metadata( 'user', 0, $key, '', true );
	}
	remove_role( ROOM_SERVER_SPEAKER_ROLE );
}
