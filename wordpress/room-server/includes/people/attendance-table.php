<?php
/**
 * The attendance table of a webinar, as the server has it now.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** Leads on a page. */
const ROOM_SERVER_ATTENDANCE_ROWS = 200;

/**
 * Show one page of a webinar's table.
 *
 * @param string $webinar_id The webinar.
 * @param int    $after      The lead after which the page begins.
 */
function room_server_show_attendance( $webinar_id, $after ) {
	$query  = http_build_query( array_filter( array( 'limit' => ROOM_SERVER_ATTENDANCE_ROWS, 'after' => $after ) ) );
	$bearer = room_server_bearer( 'organizer', room_server_order_subject( get_current_user_id() ), $webinar_id );
	$answer = room_server_get( "/webinars/$webinar_id/attendance?$query", $bearer );
	if ( 200 !== $answer['status'] || ! isset( $answer['data']['leads'] ) ) {
		$reason = '' === $answer['error'] ? (string) $answer['status'] : $answer['error'];
		/* translators: %s: a reason. */
		$sentence = sprintf( __( 'The room server does not tell who came: %s', 'room-server' ), $reason );
		printf( '<div class="notice notice-error"><p>%s</p></div>', esc_html( $sentence ) );
		return;
	}
	$leads   = $answer['data']['leads'];
	$columns = room_server_lead_columns( $leads );
	$lines   = array();
	foreach ( $leads as $lead ) {
		$lines[] = room_server_lead_line( $lead, array_keys( $columns ) );
	}
	room_server_show_table( 'attendance', array_values( $columns ), $lines );
	if ( ! $leads ) {
		echo '<p>' . esc_html__( 'Nobody has registered or entered yet.', 'room-server' ) . '</p>';
	}
	if ( ! empty( $answer['data']['next'] ) ) {
		$more = array(
			'webinar' => $webinar_id,
			'after'   => (int) $answer['data']['next'],
		);
		$url  = room_server_page_url( ROOM_SERVER_ATTENDANCE_PAGE, $more );
		printf( '<p>%s</p>', wp_kses_post( room_server_link( $url, __( 'Next page', 'room-server' ), 'button' ) ) );
	}
}

/**
 * The columns of the table; those of the watch time only where the server tells it.
 *
 * @param array[] $leads The server's `leads`.
 * @return array<string, string> The field of a lead => the heading.
 */
function room_server_lead_columns( array $leads ) {
	$columns = array(
		'lead_id'      => __( 'Lead', 'room-server' ),
		'name'         => __( 'Name', 'room-server' ),
		'entered_at'   => __( 'Entered', 'room-server' ),
		'completed_at' => __( 'Completed', 'room-server' ),
		'attended'     => __( 'Attended', 'room-server' ),
	);
	if ( isset( $leads[0]['watched_s'] ) ) {
		$columns += array(
			'watched_s'      => __( 'Minutes watched', 'room-server' ),
			'segment'        => __( 'Visit', 'room-server' ),
			'cta_clicked_at' => __( 'Pressed the button', 'room-server' ),
		);
	}
	return $columns + array( 'messages' => __( 'Messages', 'room-server' ) );
}

/**
 * A line of the table.
 *
 * @param array<string, mixed> $lead   One of the server's `leads`.
 * @param string[]             $fields Those that have a column.
 * @return array<string, array> See room_server_show_table().
 */
function room_server_lead_line( array $lead, array $fields ) {
	$cells = array();
	foreach ( $fields as $field ) {
		$cells[] = room_server_lead_cell( $field, $lead );
	}
	return array(
		'data'  => array( 'lead' => $lead['lead_id'] ),
		'cells' => $cells,
	);
}

/**
 * What a cell of the table says.
 *
 * @param string               $field A key of room_server_lead_columns().
 * @param array<string, mixed> $lead  One of the server's `leads`.
 * @return string
 */
function room_server_lead_cell( $field, array $lead ) {
	$value = isset( $lead[ $field ] ) ? $lead[ $field ] : null;
	switch ( $field ) {
		case 'entered_at':
		case 'completed_at':
		case 'cta_clicked_at':
			return $value ? room_server_when( strtotime( $value ) ) : '–';
		case 'attended':
			$word = $value ? __( 'yes', 'room-server' ) : __( 'no', 'room-server' );
			return null === $value ? '–' : $word;
		case 'watched_s':
			return room_server_minutes( $lead );
		case 'segment':
			return room_server_segment_label( (string) $value );
		case 'messages':
			return implode( ' · ', array_map( 'room_server_message_line', (array) $value ) );
	}
	return (string) $value;
}

/**
 * The whole minutes that a lead watched.
 *
 * @param array<string, mixed> $lead One of the server's `leads`.
 * @return string `< 1` for who was there for less than a minute.
 */
function room_server_minutes( array $lead ) {
	$lead += array(
		'watched_s' => 0,
		'segment'   => 'absent',
	);
	if ( 'absent' !== $lead['segment'] && $lead['watched_s'] < MINUTE_IN_SECONDS ) {
		return '< 1';
	}
	return number_format_i18n( floor( (int) $lead['watched_s'] / MINUTE_IN_SECONDS ) );
}

/**
 * How a lead watched, in words.
 *
 * @param string $segment The server's word.
 * @return string The same word where there is no other.
 */
function room_server_segment_label( $segment ) {
	$labels = array(
		'absent'      => __( 'absent', 'room-server' ),
		'left_early'  => __( 'left early', 'room-server' ),
		'joined_late' => __( 'joined late', 'room-server' ),
		'stayed'      => __( 'stayed', 'room-server' ),
	);
	return isset( $labels[ $segment ] ) ? $labels[ $segment ] : $segment;
}

/**
 * What became of a message.
 *
 * @param array<string, mixed> $message One of a lead's `messages`.
 * @return string
 */
function room_server_message_line( array $message ) {
	return room_server_message_label( $message['kind'] ) . ': ' . room_server_message_label( $message['status'] );
}

/**
 * A kind of message, or how one stands, in words.
 *
 * @param string $word The server's word.
 * @return string The same word where there is no other.
 */
function room_server_message_label( $word ) {
	$labels = array(
		'attendance'    => __( 'to the partner', 'room-server' ),
		'follow_up'     => __( 'follow-up', 'room-server' ),
		'recording'     => __( 'recording', 'room-server' ),
		'reminder'      => __( 'reminder', 'room-server' ),
		'arrival'       => __( 'arrival, to the partner', 'room-server' ),
		'moved'         => __( 'new time', 'room-server' ),
		'cancelled'     => __( 'called off', 'room-server' ),
		'queued'        => __( 'on its way', 'room-server' ),
		'sending'       => __( 'on its way', 'room-server' ),
		'held'          => __( 'waits for the recording', 'room-server' ),
		'doubtful'      => __( 'perhaps sent', 'room-server' ),
		'sent'          => __( 'sent', 'room-server' ),
		'dry_run'       => __( 'not sent, there is no bot', 'room-server' ),
		'no_chat'       => __( 'not sent, no Telegram', 'room-server' ),
		'opted_out'     => __( 'not sent, unsubscribed', 'room-server' ),
		'undeliverable' => __( 'could not be delivered', 'room-server' ),
		'parked'        => __( 'waits for the operator', 'room-server' ),
	);
	return isset( $labels[ $word ] ) ? $labels[ $word ] : $word;
}
