<?php
/**
 * Saving a webinar's post plans the webinar on the server; moving it to the trash calls it off.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** The states of a post whose webinar is planned; `private` keeps it off the server's schedule. */
const ROOM_SERVER_PLANNED = array( 'publish', 'private' );

add_action( 'wp_after_insert_post', 'room_server_plan', 10, 4 );

/**
 * Plan a webinar whose post was saved, or call it off.
 *
 * @param int          $post_id The post.
 * @param WP_Post      $post    The post, as it is now.
 * @param bool         $update  Whether it was there before.
 * @param WP_Post|null $before  The post, as it was before.
 */
function room_server_plan( $post_id, $post, $update, $before ) {
	if ( ROOM_SERVER_POST_TYPE !== $post->post_type ) {
		return;
	}
	$was_planned = $before && in_array( $before->post_status, ROOM_SERVER_PLANNED, true );
	if ( in_array( $post->post_status, ROOM_SERVER_PLANNED, true ) ) {
		$payload = room_server_plan_of( $post ) + room_server_listing_of( $post, $was_planned ? $before : null );
		if ( '' !== $payload['scheduled_at'] ) {
			room_server_supersede( 'core_webinar_plan', $payload['webinar_id'] );
			room_server_put( 'core_webinar_plan', $payload );
		}
	} elseif ( 'trash' === $post->post_status && $was_planned && '' !== room_server_id_of( $post_id ) ) {
		room_server_put( 'core_webinar_cancel', array( 'webinar_id' => room_server_id_of( $post_id ) ) );
	}
}

/**
 * What a post says of its webinar. An empty field is cleared on the server, but an empty address of the recording says
 * nothing yet: the server would tell the leads that there is none.
 *
 * @param WP_Post $post A published webinar.
 * @return array<string, mixed>
 */
function room_server_plan_of( WP_Post $post ) {
	$field   = static function ( $name ) use ( $post ) {
		return (string) get_post_meta( $post->ID, "room_server_$name", true );
	};
	$payload = array(
		'webinar_id'   => room_server_make_id( $post ),
		'title'        => room_server_plain( $post->post_title ),
		'scheduled_at' => $field( 'scheduled_at' ),
		'description'  => room_server_plain( $post->post_excerpt ) ?: null,
		'player_url'   => $field( 'player_url' ) ?: null,
		'cta_label'    => $field( 'cta_label' ) ?: null,
		'cta_url'      => $field( 'cta_url' ) ?: null,
		'draft'        => false,
	);
	if ( '' !== $field( 'recording_url' ) ) {
		$payload['recording_url'] = $field( 'recording_url' );
	}
	return $payload;
}

/**
 * Whether the server's public schedule shows the webinar. Only said when the post says so, or no longer does, because
 * the operator may have decided it otherwise.
 *
 * @param WP_Post      $post   The post, as it is now.
 * @param WP_Post|null $before The post, as it was planned before.
 * @return array<string, bool>
 */
function room_server_listing_of( WP_Post $post, $before ) {
	if ( room_server_is_hidden( $post ) ) {
		return array( 'unlisted' => true );
	}
	return $before && room_server_is_hidden( $before ) ? array( 'unlisted' => false ) : array();
}

/**
 * Whether a post is not for everybody.
 *
 * @param WP_Post $post A post.
 * @return bool
 */
function room_server_is_hidden( WP_Post $post ) {
	return 'private' === $post->post_status || '' !== $post->post_password;
}

/**
 * A text of a post without markup, as people read it.
 *
 * @param string $html The text.
 * @return string
 */
function room_server_plain( $html ) {
	return trim( html_entity_decode( wp_strip_all_tags( $html ), ENT_QUOTES | ENT_HTML5, 'UTF-8' ) );
}
