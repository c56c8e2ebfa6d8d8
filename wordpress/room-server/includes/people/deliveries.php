<?php
/**
 * The last deliveries both ways: what this site told the server, and what the server told this site.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** The page's slug. */
const ROOM_SERVER_DELIVERIES_PAGE = 'room-server-deliveries';

/** Rows of each table. */
const ROOM_SERVER_DELIVERIES_ROWS = 50;

add_action( 'admin_menu', 'room_server_add_deliveries_page' );

/**
 * Add the page to the menu of webinars.
 */
function room_server_add_deliveries_page() {
	$title = __( 'Deliveries', 'room-server' );
	room_server_add_page( ROOM_SERVER_DELIVERIES_PAGE, $title, 'manage_options', 'room_server_show_deliveries_page' );
}

/**
 * A state of a row in words.
 *
 * @param string $state A state of the outbox or of the events.
 * @return string
 */
function room_server_state_label( $state ) {
	$labels = array(
		'waiting'     => __( 'Waiting to be sent.', 'room-server' ),
		'sent'        => __( 'The server has it.', 'room-server' ),
		'refused'     => __( 'Refused.', 'room-server' ),
		'expired'     => __( 'Given up: it was too late.', 'room-server' ),
		'new'         => __( 'Waiting to be run.', 'room-server' ),
		'running'     => __( 'Running.', 'room-server' ),
		'done'        => __( 'Done.', 'room-server' ),
		'failed'      => __( 'A listener failed; the others ran.', 'room-server' ),
		'interrupted' => __( 'Interrupted: its request ended while it ran, and it is not run again.', 'room-server' ),
	);
	return isset( $labels[ $state ] ) ? $labels[ $state ] : $state;
}

/**
 * Show the page.
 */
function room_server_show_deliveries_page() {
	echo '<div class="wrap"><h1>' . esc_html__( 'Deliveries', 'room-server' ) . '</h1>';
	printf( '<h2>%s</h2>', esc_html__( 'What this site told the server', 'room-server' ) );
	room_server_show_deliveries( 'outbox', 'created_at AS at, hook AS name, attempts' );
	printf( '<h2>%s</h2>', esc_html__( 'What the server told this site', 'room-server' ) );
	room_server_show_deliveries( 'events', 'received_at AS at, type AS name, 1 AS attempts' );
	echo '</div>';
}

/**
 * Show the newest rows of a table.
 *
 * @param string $table `outbox` or `events`.
 * @param string $named The columns that have other names in the two: `at`, `name`, `attempts`.
 */
function room_server_show_deliveries( $table, $named ) {
	global $wpdb;
	$from  = room_server_table( $table );
	$sql   = "SELECT $named, webinar_id, lead_id, state, error FROM $from ORDER BY seq DESC LIMIT %d";
	$lines = array();
	foreach ( $wpdb->get_results( $wpdb->prepare( $sql, ROOM_SERVER_DELIVERIES_ROWS ) ) as $row ) {
		$lines[] = array(
			'data'  => array( 'state' => $row->state ),
			'cells' => array(
				room_server_when( (int) $row->at ),
				$row->name,
				$row->webinar_id,
				$row->lead_id ? $row->lead_id : '',
				$row->attempts,
				trim( room_server_state_label( $row->state ) . ' ' . $row->error ),
			),
		);
	}
	$columns = array(
		__( 'When', 'room-server' ),
		__( 'What', 'room-server' ),
		__( 'Webinar', 'room-server' ),
		__( 'Lead', 'room-server' ),
		__( 'Attempts', 'room-server' ),
		__( 'How it stands', 'room-server' ),
	);
	room_server_show_table( $table, $columns, $lines );
	if ( ! $lines ) {
		echo '<p>' . esc_html__( 'Nothing yet.', 'room-server' ) . '</p>';
	}
}
