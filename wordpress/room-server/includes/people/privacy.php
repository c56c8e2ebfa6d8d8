<?php
/**
 * WordPress' tools for a person's data: what is stored here of a lead is exported, and erased here and on the server.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** Rows of each table that an export has at most. */
const ROOM_SERVER_EXPORT_ROWS = 1000;

add_filter( 'wp_privacy_personal_data_exporters', 'room_server_add_exporter' );
add_filter( 'wp_privacy_personal_data_erasers', 'room_server_add_eraser' );
add_action( 'admin_init', 'room_server_suggest_privacy_text' );

/**
 * Add the exporter.
 *
 * @param array<string, array> $exporters Those there are.
 * @return array<string, array>
 */
function room_server_add_exporter( $exporters ) {
	$exporters['room-server'] = array(
		'exporter_friendly_name' => __( 'Webinars', 'room-server' ),
		'callback'               => 'room_server_export',
	);
	return $exporters;
}

/**
 * Add the eraser.
 *
 * @param array<string, array> $erasers Those there are.
 * @return array<string, array>
 */
function room_server_add_eraser( $erasers ) {
	$erasers['room-server'] = array(
		'eraser_friendly_name' => __( 'Webinars', 'room-server' ),
		'callback'             => 'room_server_erase',
	);
	return $erasers;
}

/**
 * Suggest a text for the site's privacy policy.
 */
function room_server_suggest_privacy_text() {
	$text = __( 'When you register for a webinar, your name, your language and your number as a participant are sent to our room server. It keeps when you watched, whether you stayed to the end, whether you pressed the button that the speaker showed, and your Telegram chat if you connect it.', 'room-server' );
	wp_add_privacy_policy_content( 'Room Server', wp_kses_post( wpautop( $text ) ) );
}

/**
 * What is stored here of a person.
 *
 * @param string $email The person's address.
 * @return array<string, mixed>
 */
function room_server_export( $email ) {
	$user = get_user_by( 'email', $email );
	$lead = $user ? room_server_lead_of( $user->ID ) : 0;
	$data = array();
	if ( $lead ) {
		$data[] = room_server_export_item( "lead-$lead", array( __( 'Lead', 'room-server' ) => (string) $lead ) );
		foreach ( room_server_registrations( $user->ID ) as $webinar_id => $time ) {
			$data[] = room_server_export_item( "registration-$webinar_id", array( __( 'Registered for', 'room-server' ) => $webinar_id, __( 'When', 'room-server' ) => room_server_when( $time ) ) );
		}
		foreach ( room_server_rows_of( $lead ) as $index => $row ) {
			$data[] = room_server_export_item( "fact-$index", array( __( 'What', 'room-server' ) => $row->name, __( 'Webinar', 'room-server' ) => $row->webinar_id, __( 'When', 'room-server' ) => room_server_when( (int) $row->at ) ) );
		}
	}
	return array(
		'data' => $data,
		'done' => true,
	);
}

/**
 * One item of an export.
 *
 * @param string                $id     Its id.
 * @param array<string, string> $fields Label => value.
 * @return array<string, mixed>
 */
function room_server_export_item( $id, array $fields ) {
	$data = array();
	foreach ( $fields as $name => $value ) {
		$data[] = array(
			'name'  => $name,
			'value' => $value,
		);
	}
	return array(
		'group_id'    => 'room-server',
		'group_label' => __( 'Webinars', 'room-server' ),
		'item_id'     => "room-server-$id",
		'data'        => $data,
	);
}

/**
 * The rows about a lead in both tables, the oldest first.
 *
 * @param int $lead_id The lead.
 * @return object[]
 */
function room_server_rows_of( $lead_id ) {
	global $wpdb;
	$events = room_server_table( 'events' );
	$outbox = room_server_table( 'outbox' );
	$sql    = "(SELECT type AS name, webinar_id, received_at AS at FROM $events WHERE lead_id = %d LIMIT %d) UNION ALL
		(SELECT hook AS name, webinar_id, created_at AS at FROM $outbox WHERE lead_id = %d LIMIT %d) ORDER BY at";
	return $wpdb->get_results( $wpdb->prepare( $sql, $lead_id, ROOM_SERVER_EXPORT_ROWS, $lead_id, ROOM_SERVER_EXPORT_ROWS ) );
}

/**
 * Erase what is stored here of a person, and let the server forget the lead.
 *
 * @param string $email The person's address.
 * @return array<string, mixed>
 */
function room_server_erase( $email ) {
	$user     = get_user_by( 'email', $email );
	$lead     = $user ? room_server_lead_of( $user->ID ) : 0;
	$messages = array();
	if ( $lead ) {
		$others = array_diff( room_server_users_of( $lead ), array( $user->ID ) );
		if ( $others ) {
			/* translators: %s: numbers of users. */
			$messages[] = sprintf( __( 'Other accounts are the same participant, which is forgotten for them, too: %s.', 'room-server' ), implode( ', ', $others ) );
		}
		room_server_forget( $lead );
		delete_user_meta( $user->ID, ROOM_SERVER_REGISTERED_META );
		delete_user_meta( $user->ID, ROOM_SERVER_TELEGRAM_META );
	}
	return array(
		'items_removed'  => (bool) $lead,
		'items_retained' => false,
		'messages'       => $messages,
		'done'           => true,
	);
}

/**
 * Delete the rows about a lead, then tell the server to forget it.
 *
 * @param int $lead_id The lead.
 */
function room_server_forget( $lead_id ) {
	global $wpdb;
	foreach ( array( 'events', 'outbox' ) as $name ) {
		$wpdb->delete( room_server_table( $name ), array( 'lead_id' => $lead_id ) );
	}
	room_server_put( 'core_lead_forget', array( 'lead_id' => $lead_id ) );
}
