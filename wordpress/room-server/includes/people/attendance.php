<?php
/**
 * The attendance table of a webinar, as the server has it now.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** The page's slug. */
const ROOM_SERVER_ATTENDANCE_PAGE = 'room-server-attendance';

/** Leads on a page. */
const ROOM_SERVER_ATTENDANCE_ROWS = 200;

add_action( 'admin_menu', 'room_server_add_attendance_page' );
add_filter( 'manage_' . ROOM_SERVER_POST_TYPE . '_posts_columns', 'room_server_add_columns' );
add_action( 'manage_' . ROOM_SERVER_POST_TYPE . '_posts_custom_column', 'room_server_show_column', 10, 2 );

/**
 * Whether the current user may see who came. The table has names, so it takes more than editing a webinar of one's own.
 *
 * @return bool
 */
function room_server_may_see_attendance() {
	return current_user_can( 'edit_others_pages' );
}

/**
 * Add the page to the menu of webinars.
 */
function room_server_add_attendance_page() {
	$title = __( 'Who came', 'room-server' );
	room_server_add_page( ROOM_SERVER_ATTENDANCE_PAGE, $title, 'edit_others_pages', 'room_server_show_attendance_page' );
}

/**
 * The link to a webinar's table.
 *
 * @param string $webinar_id The webinar.
 * @return string HTML.
 */
function room_server_attendance_link( $webinar_id ) {
	$url = room_server_page_url( ROOM_SERVER_ATTENDANCE_PAGE, array( 'webinar' => $webinar_id ) );
	return room_server_link( $url, __( 'Who came', 'room-server' ) );
}

/**
 * Add columns to the list of webinars.
 *
 * @param array<string, string> $columns The columns.
 * @return array<string, string>
 */
function room_server_add_columns( $columns ) {
	unset( $columns['date'] );
	$columns['room_server_time'] = __( 'Begins at', 'room-server' );
	if ( room_server_may_see_attendance() ) {
		$columns['room_server_attendance'] = __( 'Who came', 'room-server' );
	}
	return $columns;
}

/**
 * Show a column.
 *
 * @param string $column  The column.
 * @param int    $post_id The webinar's post.
 */
function room_server_show_column( $column, $post_id ) {
	$webinar_id = room_server_id_of( $post_id );
	$time       = room_server_time_of( $post_id );
	if ( 'room_server_time' === $column && $time ) {
		echo esc_html( room_server_when( $time ) );
	} elseif ( 'room_server_attendance' === $column && '' !== $webinar_id ) {
		echo wp_kses_post( room_server_attendance_link( $webinar_id ) );
	}
}

/**
 * Show the page: the webinars, or one webinar's table.
 */
function room_server_show_attendance_page() {
	// phpcs:disable -- reading needs no nonce.
	$webinar_id = isset( $_GET['webinar'] ) ? sanitize_text_field( wp_unslash( $_GET['webinar'] ) ) : '';
	$after      = isset( $_GET['after'] ) ? absint( $_GET['after'] ) : 0;
	// phpcs:enable
	$post_id = room_server_is_webinar_id( $webinar_id ) ? room_server_post_of( $webinar_id ) : 0;
	echo '<div class="wrap"><h1>' . esc_html__( 'Who came', 'room-server' ) . '</h1>';
	if ( $post_id ) {
		printf( '<h2>%s</h2>', esc_html( room_server_plain( get_the_title( $post_id ) ) ) );
		room_server_show_attendance( $webinar_id, $after );
	} else {
		room_server_show_webinars();
	}
	echo '</div>';
}

/**
 * Show the webinars of this site, each with the way to its table.
 */
function room_server_show_webinars() {
	$posts = get_posts(
		array(
			'post_type'   => ROOM_SERVER_POST_TYPE,
			'post_status' => ROOM_SERVER_PLANNED,
			'numberposts' => 100,
			'meta_key'    => 'room_server_scheduled_at',
			'orderby'     => 'meta_value',
			'order'       => 'DESC',
		)
	);
	echo '<ul>';
	foreach ( $posts as $post ) {
		$url  = room_server_page_url( ROOM_SERVER_ATTENDANCE_PAGE, array( 'webinar' => room_server_id_of( $post->ID ) ) );
		$link = room_server_link( $url, room_server_plain( get_the_title( $post ) ) );
		$when = room_server_when( room_server_time_of( $post->ID ) );
		printf( '<li>%s %s</li>', wp_kses_post( $link ), esc_html( $when ) );
	}
	echo '</ul>' . ( $posts ? '' : '<p>' . esc_html__( 'No webinars yet.', 'room-server' ) . '</p>' );
}

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
	$columns = array(
		__( 'Lead', 'room-server' ),
		__( 'Name', 'room-server' ),
		__( 'Entered', 'room-server' ),
		__( 'Completed', 'room-server' ),
		__( 'Attended', 'room-server' ),
		__( 'Messages', 'room-server' ),
	);
	room_server_show_table( 'attendance', $columns, array_map( 'room_server_lead_line', $answer['data']['leads'] ) );
	if ( ! $answer['data']['leads'] ) {
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
 * A line of the table.
 *
 * @param array<string, mixed> $lead One of the server's `leads`.
 * @return array<string, array> See room_server_show_table().
 */
function room_server_lead_line( array $lead ) {
	$lead    += array_fill_keys( array( 'lead_id', 'name', 'entered_at', 'completed_at', 'attended', 'messages' ), null );
	$when     = static function ( $time ) {
		return $time ? room_server_when( strtotime( $time ) ) : '–';
	};
	$attended = $lead['attended'] ? __( 'yes', 'room-server' ) : __( 'no', 'room-server' );
	$messages = array();
	foreach ( (array) $lead['messages'] as $message ) {
		$messages[] = room_server_message_label( $message['kind'] ) . ': ' . room_server_message_label( $message['status'] );
	}
	return array(
		'data'  => array( 'lead' => $lead['lead_id'] ),
		'cells' => array(
			$lead['lead_id'],
			(string) $lead['name'],
			$when( $lead['entered_at'] ),
			$when( $lead['completed_at'] ),
			null === $lead['attended'] ? '–' : $attended,
			implode( ' · ', $messages ),
		),
	);
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
