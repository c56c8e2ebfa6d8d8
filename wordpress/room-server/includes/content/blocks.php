<?php
/**
 * The blocks and shortcodes: [room_server_room webinar="ID"], [room_server_register webinar="ID"] and
 * [room_server_schedule]. Without `webinar`, the first two are about the post in which they stand.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

add_action( 'init', 'room_server_register_blocks' );

/**
 * The blocks: name => title and description for the editor.
 *
 * @return array<string, string[]>
 */
function room_server_blocks() {
	return array(
		'room'     => array(
			__( 'Webinar room', 'room-server' ),
			__( 'The room itself. Each logged-in participant gets a personal link.', 'room-server' ),
		),
		'register' => array(
			__( 'Webinar registration', 'room-server' ),
			__( 'A button by which a logged-in visitor registers.', 'room-server' ),
		),
		'schedule' => array(
			__( 'Webinar schedule', 'room-server' ),
			__( 'The webinars that are planned or on now.', 'room-server' ),
		),
	);
}

/**
 * Register blocks, shortcodes, their style and the editor's script.
 */
function room_server_register_blocks() {
	wp_register_style( 'room-server', plugins_url( 'assets/room-server.css', ROOM_SERVER_FILE ), array(), ROOM_SERVER_VERSION );
	wp_register_script(
		'room-server-blocks',
		plugins_url( 'assets/blocks.js', ROOM_SERVER_FILE ),
		array( 'wp-blocks', 'wp-block-editor', 'wp-components', 'wp-element' ),
		ROOM_SERVER_VERSION,
		true
	);
	$words = array( 'webinar' => __( 'Id of the webinar (empty: this one)', 'room-server' ) );
	wp_add_inline_script( 'room-server-blocks', 'const roomServerWords = ' . wp_json_encode( $words ) . ';', 'before' );
	foreach ( room_server_blocks() as $name => list( $title, $description ) ) {
		register_block_type(
			"room-server/$name",
			array(
				'api_version'     => 2,
				'title'           => $title,
				'description'     => $description,
				'category'        => 'widgets',
				'icon'            => 'video-alt2',
				'attributes'      => 'schedule' === $name ? array() : array( 'webinar' => array( 'type' => 'string' ) ),
				'editor_script'   => 'room-server-blocks',
				'style'           => 'room-server',
				'render_callback' => "room_server_show_$name",
			)
		);
		add_shortcode( "room_server_$name", "room_server_show_$name" );
	}
}

/**
 * Render the room.
 *
 * @param array|string $attributes Those of the block or the shortcode.
 * @return string HTML.
 */
function room_server_show_room( $attributes ) {
	return room_server_show( $attributes, 'room_server_room' );
}

/**
 * Render the registration.
 *
 * @param array|string $attributes Those of the block or the shortcode.
 * @return string HTML.
 */
function room_server_show_register( $attributes ) {
	return room_server_show( $attributes, 'room_server_registration' );
}

/**
 * Render the schedule.
 *
 * @return string HTML.
 */
function room_server_show_schedule() {
	wp_enqueue_style( 'room-server' );
	return room_server_schedule();
}

/**
 * Render what is about one webinar.
 *
 * @param array|string $attributes Those of the block or the shortcode.
 * @param callable     $render     Takes the webinar's id and gives HTML.
 * @return string HTML.
 */
function room_server_show( $attributes, $render ) {
	wp_enqueue_style( 'room-server' );
	$named      = is_array( $attributes ) && isset( $attributes['webinar'] ) ? trim( (string) $attributes['webinar'] ) : '';
	$webinar_id = room_server_webinar_here( $named );
	if ( '' !== $webinar_id ) {
		return call_user_func( $render, $webinar_id );
	}
	if ( current_user_can( 'edit_posts' ) ) {
		return room_server_note( __( 'Name the webinar: webinar="ID". (Only editors see this.)', 'room-server' ) );
	}
	return '';
}
