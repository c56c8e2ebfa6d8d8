<?php
/**
 * The two tables: `events`, what the server has said, and `outbox`, what the site has to say. Times are Unix seconds.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** The version of the tables; another number in the option makes them anew. */
const ROOM_SERVER_TABLES_VERSION = 1;

/** Days after which a row that is done goes. */
const ROOM_SERVER_KEEP_DAYS = 90;

/** Rows that one statement deletes at most, so that the table stays usable meanwhile. */
const ROOM_SERVER_PURGE_ROWS = 5000;

/** The longest text that a row keeps of an error. */
const ROOM_SERVER_ERROR_CHARACTERS = 500;

/**
 * The full name of a table.
 *
 * @param string $name `events` or `outbox`.
 * @return string
 */
function room_server_table( $name ) {
	global $wpdb;
	return "{$wpdb->prefix}room_server_$name";
}

/**
 * Make the tables, or bring them up to date.
 */
function room_server_make_tables() {
	global $wpdb;
	require_once ABSPATH . 'wp-admin/includes/upgrade.php';
	$charset = $wpdb->get_charset_collate();
	$events  = room_server_table( 'events' );
	$outbox  = room_server_table( 'outbox' );
	dbDelta(
		"CREATE TABLE $events (
			seq bigint(20) unsigned NOT NULL AUTO_INCREMENT,
			event_id varchar(191) COLLATE utf8mb4_bin NOT NULL,
			type varchar(64) NOT NULL,
			webinar_id varchar(64) NOT NULL DEFAULT '',
			lead_id bigint(20) unsigned NOT NULL DEFAULT 0,
			body longtext NOT NULL,
			state varchar(12) NOT NULL DEFAULT 'new',
			error text NOT NULL,
			received_at bigint(20) unsigned NOT NULL,
			ran_at bigint(20) unsigned NOT NULL DEFAULT 0,
			PRIMARY KEY  (seq),
			UNIQUE KEY event_id (event_id),
			KEY state_seq (state,seq),
			KEY lead_id (lead_id),
			KEY received_at (received_at)
		) $charset;"
	);
	dbDelta(
		"CREATE TABLE $outbox (
			seq bigint(20) unsigned NOT NULL AUTO_INCREMENT,
			message_id varchar(64) NOT NULL,
			hook varchar(64) NOT NULL,
			webinar_id varchar(64) COLLATE utf8mb4_bin NOT NULL DEFAULT '',
			lead_id bigint(20) unsigned NOT NULL DEFAULT 0,
			body longtext NOT NULL,
			role varchar(16) NOT NULL DEFAULT '',
			subject varchar(191) NOT NULL DEFAULT '',
			state varchar(12) NOT NULL DEFAULT 'waiting',
			attempts int(10) unsigned NOT NULL DEFAULT 0,
			next_at bigint(20) unsigned NOT NULL,
			expires_at bigint(20) unsigned NOT NULL,
			created_at bigint(20) unsigned NOT NULL,
			status smallint(5) unsigned NOT NULL DEFAULT 0,
			error text NOT NULL,
			PRIMARY KEY  (seq),
			UNIQUE KEY message_id (message_id),
			KEY state_seq (state,seq),
			KEY line (webinar_id,state,seq),
			KEY lead_id (lead_id),
			KEY created_at (created_at)
		) $charset;"
	);
	update_option( 'room_server_tables', ROOM_SERVER_TABLES_VERSION );
}

add_action( 'plugins_loaded', 'room_server_keep_tables_current' );

/**
 * Bring the tables up to date after an update of the plugin, which runs no activation.
 */
function room_server_keep_tables_current() {
	if ( ROOM_SERVER_TABLES_VERSION !== (int) get_option( 'room_server_tables', 0 ) ) {
		room_server_make_tables();
	}
}

/**
 * Delete old rows that nobody waits for any longer.
 */
function room_server_purge() {
	global $wpdb;
	$before = time() - ROOM_SERVER_KEEP_DAYS * DAY_IN_SECONDS;
	$events = room_server_table( 'events' );
	$outbox = room_server_table( 'outbox' );
	$old    = array(
		"DELETE FROM $events WHERE received_at < %d AND state NOT IN ('new', 'running') LIMIT %d",
		"DELETE FROM $outbox WHERE created_at < %d AND state <> 'waiting' LIMIT %d",
	);
	foreach ( $old as $sql ) {
		$wpdb->query( $wpdb->prepare( $sql, $before, ROOM_SERVER_PURGE_ROWS ) );
	}
}

/**
 * A text that fits into the column `error`.
 *
 * @param string $text Any text.
 * @return string
 */
function room_server_error_text( $text ) {
	return mb_substr( wp_check_invalid_utf8( $text, true ), 0, ROOM_SERVER_ERROR_CHARACTERS );
}
