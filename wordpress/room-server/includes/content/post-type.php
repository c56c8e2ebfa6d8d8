<?php
/**
 * Webinars as posts, and the id by which the server knows each.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** The post type. */
const ROOM_SERVER_POST_TYPE = 'room_webinar';

/** The meta that holds a webinar's id. */
const ROOM_SERVER_ID_META = 'room_server_webinar_id';

add_action( 'init', 'room_server_register_post_type' );

/**
 * Register the post type. Who may edit pages may edit webinars.
 */
function room_server_register_post_type() {
	register_post_type(
		ROOM_SERVER_POST_TYPE,
		array(
			'labels'          => array(
				'name'          => __( 'Webinars', 'room-server' ),
				'singular_name' => __( 'Webinar', 'room-server' ),
				'add_new_item'  => __( 'Add a webinar', 'room-server' ),
				'edit_item'     => __( 'Edit the webinar', 'room-server' ),
				'view_item'     => __( 'View the webinar', 'room-server' ),
				'search_items'  => __( 'Search webinars', 'room-server' ),
				'not_found'     => __( 'No webinars yet.', 'room-server' ),
				'all_items'     => __( 'All webinars', 'room-server' ),
			),
			'public'          => true,
			'show_in_rest'    => true,
			'menu_icon'       => 'dashicons-video-alt2',
			'capability_type' => 'page',
			'map_meta_cap'    => true,
			'supports'        => array( 'title', 'editor', 'excerpt', 'thumbnail', 'custom-fields' ),
			'rewrite'         => array( 'slug' => 'webinar' ),
			'template'        => array( array( 'room-server/register' ), array( 'room-server/room' ) ),
		)
	);
}

/**
 * Whether a text can be the id of a webinar.
 *
 * @param mixed $text Anything.
 * @return bool
 */
function room_server_is_webinar_id( $text ) {
	return is_string( $text ) && 1 === preg_match( '/\A[A-Za-z0-9_-]{1,64}\z/', $text );
}

/**
 * The id of a webinar's post, or '' while it has none.
 *
 * @param int $post_id The post.
 * @return string
 */
function room_server_id_of( $post_id ) {
	return (string) get_post_meta( $post_id, ROOM_SERVER_ID_META, true );
}

/**
 * The webinar's id, made once: the slug where it is a lawful id that no other webinar has, else `wp-` and the post's
 * id (and a number, should somebody have that as a slug). A copy of a post, which brings the id of its original along,
 * gets one of its own.
 *
 * @param WP_Post $post A webinar that has a slug.
 * @return string
 */
function room_server_make_id( WP_Post $post ) {
	$id = room_server_id_of( $post->ID );
	if ( '' !== $id && $post->ID === room_server_post_of( $id ) ) {
		return $id;
	}
	$id = $post->post_name;
	for ( $number = 1; ! room_server_is_webinar_id( $id ) || room_server_post_of( $id ); $number++ ) {
		$id = "wp-$post->ID" . ( 1 === $number ? '' : "-$number" );
	}
	update_post_meta( $post->ID, ROOM_SERVER_ID_META, $id );
	return $id;
}

/**
 * The post of a webinar: the first one that got this id.
 *
 * @param string $webinar_id The webinar.
 * @return int The post's id, or 0.
 */
function room_server_post_of( $webinar_id ) {
	$found = get_posts(
		array(
			'post_type'   => ROOM_SERVER_POST_TYPE,
			'post_status' => array_keys( get_post_stati() ),
			'meta_key'    => ROOM_SERVER_ID_META,
			'meta_value'  => $webinar_id,
			'orderby'     => 'ID',
			'order'       => 'ASC',
			'numberposts' => 10,
		)
	);
	foreach ( $found as $post ) {
		if ( room_server_id_of( $post->ID ) === $webinar_id ) { // The database compares without regard to case.
			return $post->ID;
		}
	}
	return 0;
}

/**
 * The webinar that a block or shortcode is about: the one that it names, else that of the post it stands in.
 *
 * @param string $named The attribute `webinar`.
 * @return string An id, or ''.
 */
function room_server_webinar_here( $named ) {
	if ( '' !== $named ) {
		return room_server_is_webinar_id( $named ) ? $named : '';
	}
	$post = get_post();
	return $post && ROOM_SERVER_POST_TYPE === $post->post_type ? room_server_id_of( $post->ID ) : '';
}

/**
 * The planned time of a post's webinar in Unix seconds, or 0.
 *
 * @param int $post_id The post; 0 for none.
 * @return int
 */
function room_server_time_of( $post_id ) {
	return $post_id ? (int) strtotime( (string) get_post_meta( $post_id, 'room_server_scheduled_at', true ) ) : 0;
}
