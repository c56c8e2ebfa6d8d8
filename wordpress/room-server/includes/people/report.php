<?php
/**
 * The way to the report of a webinar, a page of the room server.
 *
 * The report is for organizers, so its address carries an organizer's token, which may read and do nothing else: who may
 * see who came here need not be one who may start and stop webinars. It is made when the link is followed, is for this
 * webinar alone, holds for an hour, and stands in no page of this site.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** Seconds that an address of a report holds. */
const ROOM_SERVER_REPORT_SECONDS = HOUR_IN_SECONDS;

add_action( 'admin_post_room_server_report', 'room_server_open_report' );

/**
 * The link to a webinar's report, or '' while there is no server.
 *
 * @param string $webinar_id The webinar.
 * @return string HTML.
 */
function room_server_report_link( $webinar_id ) {
	if ( ! room_server_is_configured() ) {
		return '';
	}
	$query = array(
		'action'  => 'room_server_report',
		'webinar' => $webinar_id,
	);
	$url   = wp_nonce_url( add_query_arg( $query, admin_url( 'admin-post.php' ) ), "room_server_report_$webinar_id" );
	return room_server_link( $url, __( 'Report', 'room-server' ), 'button' );
}

/**
 * Answer a click on the link: to the report, with a token that is made now.
 */
function room_server_open_report() {
	if ( ! room_server_may_see_attendance() ) {
		wp_die( esc_html__( 'You may not see who came.', 'room-server' ), '', array( 'response' => 403 ) );
	}
	$webinar_id = isset( $_GET['webinar'] ) ? sanitize_text_field( wp_unslash( $_GET['webinar'] ) ) : '';
	check_admin_referer( "room_server_report_$webinar_id" );
	if ( ! room_server_is_webinar_id( $webinar_id ) || ! room_server_post_of( $webinar_id ) || ! room_server_is_configured() ) {
		wp_die( esc_html__( 'There is no such webinar.', 'room-server' ), '', array( 'response' => 404 ) );
	}
	room_server_never_cache();
	wp_redirect( room_server_report_address( $webinar_id ) ); // Not the safe variant: the room server is another host.
	exit;
}

/**
 * The address of a webinar's report for the current user.
 *
 * @param string $webinar_id The webinar.
 * @return string
 */
function room_server_report_address( $webinar_id ) {
	$claims = array(
		'sub'        => 'report-' . get_current_user_id(),
		'role'       => 'organizer',
		'webinar_id' => $webinar_id,
		'read_only'  => true,
		'exp'        => room_server_server_time() + ROOM_SERVER_REPORT_SECONDS,
	);
	return room_server_url() . "/report/$webinar_id#token=" . room_server_token( $claims );
}
