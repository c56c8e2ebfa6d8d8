<?php
/**
 * The box beside a webinar's text: the fields, what the server said of the plan, and the links for who runs it.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

add_action( 'add_meta_boxes_' . ROOM_SERVER_POST_TYPE, 'room_server_add_meta_box' );
add_action( 'save_post_' . ROOM_SERVER_POST_TYPE, 'room_server_save_meta_box' );
add_filter( 'redirect_post_location', 'room_server_tell_wrong_fields', 10, 2 );

/**
 * Add the box.
 */
function room_server_add_meta_box() {
	add_meta_box( 'room_server', __( 'Webinar', 'room-server' ), 'room_server_show_meta_box', null, 'side', 'high' );
}

/**
 * Show the box.
 *
 * @param WP_Post $post The webinar.
 */
function room_server_show_meta_box( WP_Post $post ) {
	wp_nonce_field( 'room_server_fields', 'room_server_fields_nonce' );
	foreach ( room_server_fields() as $key => list( $label, $kind ) ) {
		$value = (string) get_post_meta( $post->ID, $key, true );
		$type  = array(
			'time' => 'datetime-local',
			'url'  => 'url',
			'text' => 'text',
		);
		if ( 'time' === $kind && '' !== $value ) {
			$value = room_server_moment( $value )->format( 'Y-m-d\TH:i' );
		}
		printf(
			'<p><label for="%1$s">%2$s</label><input type="%3$s" id="%1$s" name="%1$s" value="%4$s" class="widefat"></p>',
			esc_attr( $key ),
			esc_html( $label ),
			esc_attr( $type[ $kind ] ),
			esc_attr( $value )
		);
	}
	printf(
		'<p class="description">%s</p>',
		/* translators: %s: a time zone. */
		esc_html( sprintf( __( 'The time is in the zone of this site: %s.', 'room-server' ), wp_timezone_string() ) )
	);
	room_server_show_plan( $post );
}

/**
 * Show what the server said of the plan, and the links.
 *
 * @param WP_Post $post The webinar.
 */
function room_server_show_plan( WP_Post $post ) {
	$webinar_id = room_server_id_of( $post->ID );
	$message    = '' === $webinar_id ? null : room_server_last_message( 'core_webinar_plan', $webinar_id );
	if ( ! $message ) {
		echo '<p>' . esc_html__( 'Once it is published and has a time, the room server plans it.', 'room-server' ) . '</p>';
		return;
	}
	printf( '<p><strong>%s</strong> %s</p>', esc_html( room_server_state_label( $message->state ) ), esc_html( $message->error ) );
	/* translators: %s: the id of a webinar. */
	printf( '<p>%s</p>', esc_html( sprintf( __( 'Id: %s', 'room-server' ), $webinar_id ) ) );
	$console = room_server_console_link( $webinar_id );
	if ( '' !== $console ) {
		printf( '<p><a href="%s" target="_blank" rel="noopener" class="room-server-console">%s</a></p>', esc_url( $console ), esc_html__( 'Speaker’s console (your own link)', 'room-server' ) );
	}
	if ( room_server_may_see_attendance() ) {
		printf( '<p>%s</p>', wp_kses_post( room_server_attendance_link( $webinar_id ) ) );
	}
}

/**
 * Store what the box's form has.
 *
 * @param int $post_id The webinar.
 */
function room_server_save_meta_box( $post_id ) {
	$nonce = isset( $_POST['room_server_fields_nonce'] ) ? sanitize_key( $_POST['room_server_fields_nonce'] ) : '';
	if ( ! wp_verify_nonce( $nonce, 'room_server_fields' ) || ! current_user_can( 'edit_post', $post_id ) ) {
		return;
	}
	foreach ( room_server_fields() as $key => list( , $kind ) ) {
		if ( ! isset( $_POST[ $key ] ) ) {
			continue;
		}
		$given = wp_unslash( $_POST[ $key ] ); // phpcs:ignore -- cleaned in the next line.
		$clean = call_user_func( "room_server_clean_$kind", $given );
		if ( '' !== $clean || '' === $given ) {
			update_post_meta( $post_id, $key, wp_slash( $clean ) );
		}
	}
}

/**
 * Let the page that follows say which fields were left as they were, because what was entered is not lawful.
 *
 * @param string $location Where the browser goes.
 * @param int    $post_id  The post that was saved.
 * @return string
 */
function room_server_tell_wrong_fields( $location, $post_id ) {
	if ( ROOM_SERVER_POST_TYPE !== get_post_type( $post_id ) ) {
		return $location;
	}
	$wrong = array();
	foreach ( room_server_fields() as $key => list( , $kind ) ) {
		$given = isset( $_POST[ $key ] ) ? wp_unslash( $_POST[ $key ] ) : ''; // phpcs:ignore -- only checked.
		if ( '' !== $given && '' === call_user_func( "room_server_clean_$kind", $given ) ) {
			$wrong[] = $key;
		}
	}
	return $wrong ? add_query_arg( 'room_server_wrong', implode( ',', $wrong ), $location ) : $location;
}
