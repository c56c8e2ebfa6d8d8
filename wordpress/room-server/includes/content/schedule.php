<?php
/**
 * The schedule: this site's webinars that are to come or are on now, as the server knows them.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** Seconds that the server's schedule is kept here; a failure is kept as long. */
const ROOM_SERVER_SCHEDULE_SECONDS = 30;

/** Seconds that a visitor may wait for the server's schedule. */
const ROOM_SERVER_SCHEDULE_TIMEOUT = 2;

/** Webinars that a schedule shows at most. */
const ROOM_SERVER_SCHEDULE_ROWS = 50;

/**
 * The schedule as a visitor sees it.
 *
 * @return string HTML.
 */
function room_server_schedule() {
	$known = room_server_known_webinars();
	$items = '';
	foreach ( room_server_upcoming() as $post ) {
		$webinar_id = room_server_id_of( $post->ID );
		$items     .= room_server_schedule_item( $post, isset( $known[ $webinar_id ] ) ? $known[ $webinar_id ] : array() );
	}
	if ( '' === $items ) {
		return room_server_note( __( 'No webinars are planned.', 'room-server' ) );
	}
	return "<ul class=\"room-server-schedule\">$items</ul>";
}

/**
 * This site's public webinars that have not been over for a day, the next one first.
 *
 * @return WP_Post[]
 */
function room_server_upcoming() {
	$posts = get_posts(
		array(
			'post_type'    => ROOM_SERVER_POST_TYPE,
			'post_status'  => 'publish',
			'has_password' => false,
			'numberposts'  => -1,
			'meta_query'   => array(
				array(
					'key'     => 'room_server_scheduled_at',
					'value'   => gmdate( 'Y-m-d', time() - 2 * DAY_IN_SECONDS ),
					'compare' => '>=',
				),
			),
		)
	);
	$posts = array_filter(
		$posts,
		static function ( $post ) {
			return room_server_time_of( $post->ID ) > time() - DAY_IN_SECONDS;
		}
	);
	usort(
		$posts,
		static function ( $one, $other ) {
			return room_server_time_of( $one->ID ) - room_server_time_of( $other->ID );
		}
	);
	return array_slice( $posts, 0, ROOM_SERVER_SCHEDULE_ROWS );
}

/**
 * What the server's schedule says, by webinar. Empty while the server cannot be asked.
 *
 * @return array<string, array>
 */
function room_server_known_webinars() {
	if ( ! room_server_is_configured() ) {
		return array();
	}
	$known = get_transient( 'room_server_schedule' );
	if ( ! is_array( $known ) ) {
		$answer = room_server_get( '/webinars', array(), ROOM_SERVER_SCHEDULE_TIMEOUT );
		$listed = isset( $answer['data']['webinars'] ) ? $answer['data']['webinars'] : $answer['data'];
		$known  = 200 === $answer['status'] ? array_column( array_filter( $listed, 'is_array' ), null, 'webinar_id' ) : array();
		set_transient( 'room_server_schedule', $known, ROOM_SERVER_SCHEDULE_SECONDS );
	}
	return $known;
}

/**
 * One webinar of the schedule.
 *
 * @param WP_Post              $post  The webinar.
 * @param array<string, mixed> $known What the server says of it.
 * @return string HTML.
 */
function room_server_schedule_item( WP_Post $post, array $known ) {
	$status = isset( $known['status'] ) ? (string) $known['status'] : '';
	$badge  = '';
	if ( ! empty( $known['cancelled_at'] ) ) {
		$badge = __( 'called off', 'room-server' );
	} elseif ( in_array( $status, array( 'live', 'paused' ), true ) ) {
		$badge = __( 'on now', 'room-server' );
	} elseif ( in_array( $status, array( 'finished', 'archived' ), true ) ) {
		$badge = __( 'over', 'room-server' );
	}
	$time = room_server_time_of( $post->ID );
	return sprintf(
		'<li data-webinar="%s"><a href="%s">%s</a> <time datetime="%s">%s</time>%s</li>',
		esc_attr( room_server_id_of( $post->ID ) ),
		esc_url( get_permalink( $post ) ),
		esc_html( room_server_plain( get_the_title( $post ) ) ),
		esc_attr( gmdate( 'Y-m-d\TH:i:s\Z', $time ) ),
		esc_html( room_server_when( $time ) ),
		'' === $badge ? '' : ' <strong>' . esc_html( $badge ) . '</strong>'
	);
}

/**
 * A time as people read it here: in the site's zone, which is named.
 *
 * @param int $time Unix seconds.
 * @return string
 */
function room_server_when( $time ) {
	return wp_date( get_option( 'date_format' ) . ', ' . get_option( 'time_format' ) . ' (T)', $time );
}
