<?php
/**
 * The way to who came: a page with the webinars, and one for each webinar with its table and its report.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** The page's slug. */
const ROOM_SERVER_ATTENDANCE_PAGE = 'room-server-attendance';

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
		printf( '<p>%s</p>', wp_kses_post( room_server_report_link( $webinar_id ) ) );
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
