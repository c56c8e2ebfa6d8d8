<?php
/**
 * The table of events: each is stored once, run at most once, and kept for a while.
 *
 * States: `new` waits; `running` is marked before its listeners are called; `done`; `failed`, a listener threw;
 * `interrupted`, the request ended while it ran, and nobody knows what its listeners did.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** Events that may wait; above, the server is asked to come later. */
const ROOM_SERVER_INBOX_ROWS = 50000;

/** Events that one statement stores. */
const ROOM_SERVER_INSERT_ROWS = 100;

/** Events that are read at a time before each is run. */
const ROOM_SERVER_READ_ROWS = 50;

/**
 * Whether so many events wait that no more are taken.
 *
 * @return bool
 */
function room_server_inbox_is_full() {
	global $wpdb;
	$table = room_server_table( 'events' );
	$sql   = "SELECT COUNT(*) FROM (SELECT 1 FROM $table WHERE state = 'new' LIMIT %d) AS waiting";
	return (int) $wpdb->get_var( $wpdb->prepare( $sql, ROOM_SERVER_INBOX_ROWS ) ) >= ROOM_SERVER_INBOX_ROWS;
}

/**
 * Store events in their order. One that is there already is left as it is: its id names the fact for good.
 *
 * @param array[] $events Lawful events.
 * @return bool False when the database refused; the server is to send them again.
 */
function room_server_store_events( array $events ) {
	global $wpdb;
	$table = room_server_table( 'events' );
	foreach ( array_chunk( $events, ROOM_SERVER_INSERT_ROWS ) as $chunk ) {
		$rows = array();
		foreach ( $chunk as $event ) {
			$rows[] = $wpdb->prepare(
				"(%s, %s, %s, %d, %s, 'new', '', %d)",
				$event['id'],
				$event['type'],
				isset( $event['webinar_id'] ) ? $event['webinar_id'] : '',
				room_server_lawful_lead_id( isset( $event['data']['lead_id'] ) ? $event['data']['lead_id'] : 0 ),
				wp_json_encode( $event ),
				time()
			);
		}
		$columns = '(event_id, type, webinar_id, lead_id, body, state, error, received_at)';
		if ( false === $wpdb->query( "INSERT IGNORE INTO $table $columns VALUES " . implode( ', ', $rows ) ) ) {
			return false;
		}
	}
	return true;
}

/**
 * Try to become the only one who runs events. The database releases the lock when this request ends, however it ends.
 *
 * @return bool False while another request runs them.
 */
function room_server_lock_events() {
	global $wpdb;
	$locked = $wpdb->get_var( $wpdb->prepare( 'SELECT GET_LOCK(%s, 0)', room_server_lock_name() ) );
	return '0' !== (string) $locked; // A database without locks answers NULL; a row is still claimed only once.
}

/**
 * Let others run events.
 */
function room_server_unlock_events() {
	global $wpdb;
	$wpdb->get_var( $wpdb->prepare( 'SELECT RELEASE_LOCK(%s)', room_server_lock_name() ) );
}

/**
 * The lock's name, which is shared by all databases of a server and has at most 64 characters.
 *
 * @return string
 */
function room_server_lock_name() {
	return 'room_server_' . md5( DB_NAME . room_server_table( 'events' ) );
}

/**
 * Mark what ran when its request ended. To be called with the lock, so nobody else runs anything.
 */
function room_server_mark_interrupted() {
	global $wpdb;
	$table = room_server_table( 'events' );
	$wpdb->query( "UPDATE $table SET state = 'interrupted' WHERE state = 'running'" );
}

/**
 * The oldest events that wait.
 *
 * @return object[] Their rows: `seq`, `body`.
 */
function room_server_waiting_events() {
	global $wpdb;
	$table = room_server_table( 'events' );
	$sql   = "SELECT seq, body FROM $table WHERE state = 'new' ORDER BY seq LIMIT %d";
	return $wpdb->get_results( $wpdb->prepare( $sql, ROOM_SERVER_READ_ROWS ) );
}

/**
 * Mark an event as running. Of several who try, one succeeds.
 *
 * @param object $row A row that waited when it was read.
 * @return bool
 */
function room_server_claim_event( $row ) {
	global $wpdb;
	$table = room_server_table( 'events' );
	$claim = "UPDATE $table SET state = 'running', ran_at = %d WHERE seq = %d AND state = 'new'";
	return 1 === $wpdb->query( $wpdb->prepare( $claim, time(), $row->seq ) );
}

/**
 * Keep how an event's run ended.
 *
 * @param object   $row      The claimed row.
 * @param string[] $failures A sentence for each listener that threw.
 */
function room_server_finish_event( $row, array $failures ) {
	global $wpdb;
	$values = array(
		'state' => $failures ? 'failed' : 'done',
		'error' => room_server_error_text( implode( "\n", $failures ) ),
	);
	$wpdb->update( room_server_table( 'events' ), $values, array( 'seq' => $row->seq ) );
}
