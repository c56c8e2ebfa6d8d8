<?php
/**
 * What is planned of a webinar, as meta of its post: readable and writable over REST by who may edit the post, and by
 * nobody else, since the addresses of the player and of the recording are for participants.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

add_action( 'init', 'room_server_register_fields' );
add_filter( 'rest_pre_insert_' . ROOM_SERVER_POST_TYPE, 'room_server_check_rest_fields', 10, 2 );
add_filter( 'rest_prepare_' . ROOM_SERVER_POST_TYPE, 'room_server_hide_rest_fields', 10, 2 );
add_filter( 'is_protected_meta', 'room_server_protect_meta', 10, 2 );

/**
 * The fields: meta key => label and kind (`time`, `url`, `text`).
 *
 * @return array<string, string[]>
 */
function room_server_fields() {
	return array(
		'room_server_scheduled_at'  => array( __( 'Begins at', 'room-server' ), 'time' ),
		'room_server_player_url'    => array( __( 'Address of the player', 'room-server' ), 'url' ),
		'room_server_cta_label'     => array( __( 'Text of the button (call to action)', 'room-server' ), 'text' ),
		'room_server_cta_url'       => array( __( 'Address that the button leads to', 'room-server' ), 'url' ),
		'room_server_recording_url' => array( __( 'Address of the recording', 'room-server' ), 'url' ),
	);
}

/**
 * Register the fields, and the id, which only the plugin writes.
 */
function room_server_register_fields() {
	foreach ( room_server_fields() as $key => list( , $kind ) ) {
		register_post_meta(
			ROOM_SERVER_POST_TYPE,
			$key,
			array(
				'type'              => 'string',
				'single'            => true,
				'show_in_rest'      => true,
				'sanitize_callback' => 'room_server_clean_' . $kind,
				'auth_callback'     => 'room_server_may_edit_field',
			)
		);
	}
	register_post_meta(
		ROOM_SERVER_POST_TYPE,
		ROOM_SERVER_ID_META,
		array(
			'type'          => 'string',
			'single'        => true,
			'show_in_rest'  => true,
			'auth_callback' => '__return_false',
		)
	);
}

/**
 * Who may edit the post may write its fields.
 *
 * @param bool   $allowed  Whether WordPress would allow it.
 * @param string $meta_key The field.
 * @param int    $post_id  The post.
 * @return bool
 */
function room_server_may_edit_field( $allowed, $meta_key, $post_id ) {
	return current_user_can( 'edit_post', $post_id );
}

/**
 * A time as it is stored: RFC 3339 with the offset of the site's zone.
 *
 * @param mixed $value `2026-12-01T19:00` in the site's zone, or the same with seconds and an offset.
 * @return string '' for what is no time.
 */
function room_server_clean_time( $value ) {
	$moment = room_server_moment( is_string( $value ) ? trim( $value ) : '' );
	return $moment ? $moment->format( 'Y-m-d\TH:i:sP' ) : '';
}

/**
 * The moment in a text, in the site's zone.
 *
 * @param string $text See room_server_clean_time().
 * @return DateTimeImmutable|null Null for what is no time, such as the 31st of February.
 */
function room_server_moment( $text ) {
	if ( ! preg_match( '/\A(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?\z/', $text, $part ) ) {
		return null;
	}
	$seconds = isset( $part[3] ) && '' !== $part[3] ? $part[3] : ':00';
	$offset  = isset( $part[4] ) ? $part[4] : '';
	$local   = "$part[1] $part[2]$seconds";
	$plain   = DateTimeImmutable::createFromFormat( 'Y-m-d H:i:s', $local, new DateTimeZone( 'UTC' ) );
	if ( ! $plain || $plain->format( 'Y-m-d H:i:s' ) !== $local ) {
		return null;
	}
	return ( new DateTimeImmutable( $local . $offset, wp_timezone() ) )->setTimezone( wp_timezone() );
}

/**
 * An address as it is stored.
 *
 * @param mixed $value An address of http or https.
 * @return string '' for what is none.
 */
function room_server_clean_url( $value ) {
	$given = is_string( $value ) ? trim( $value ) : '';
	$url   = preg_match( '#\Ahttps?://#i', $given ) ? esc_url_raw( $given, array( 'http', 'https' ) ) : '';
	return wp_parse_url( $url, PHP_URL_HOST ) ? $url : '';
}

/**
 * A short text as it is stored.
 *
 * @param mixed $value A text.
 * @return string
 */
function room_server_clean_text( $value ) {
	return is_string( $value ) ? mb_substr( sanitize_text_field( $value ), 0, 200 ) : '';
}

/**
 * Refuse a request over REST whose fields are not lawful, naming the first of them.
 *
 * @param stdClass|WP_Error $prepared The post that is to be stored.
 * @param WP_REST_Request   $request  The request.
 * @return stdClass|WP_Error
 */
function room_server_check_rest_fields( $prepared, $request ) {
	$meta = $request['meta'];
	foreach ( room_server_fields() as $key => list( $label, $kind ) ) {
		$value = is_array( $meta ) && isset( $meta[ $key ] ) ? $meta[ $key ] : '';
		if ( '' !== $value && '' === call_user_func( "room_server_clean_$kind", $value ) ) {
			$expected = 'time' === $kind ? '2026-12-01T19:00' : 'https://example.org/';
			/* translators: 1: name of a field, 2: an example of a lawful value. */
			$sentence = sprintf( __( '%1$s: expected something like %2$s.', 'room-server' ), "meta.$key ($label)", $expected );
			return new WP_Error( 'room_server_invalid_field', $sentence, array( 'status' => 400 ) );
		}
	}
	return $prepared;
}

/**
 * Leave the fields out of an answer over REST to who may not edit the post.
 *
 * @param WP_REST_Response $response The answer.
 * @param WP_Post          $post     The post that it shows.
 * @return WP_REST_Response
 */
function room_server_hide_rest_fields( $response, $post ) {
	$data = $response->get_data();
	if ( isset( $data['meta'] ) && ! current_user_can( 'edit_post', $post->ID ) ) {
		$data['meta'] = array_diff_key( $data['meta'], room_server_fields() );
		$response->set_data( $data );
	}
	return $response;
}

/**
 * Keep the plugin's meta out of WordPress' own editor of custom fields.
 *
 * @param bool   $is_protected Whether it is kept out already.
 * @param string $meta_key     The meta.
 * @return bool
 */
function room_server_protect_meta( $is_protected, $meta_key ) {
	return $is_protected || 0 === strpos( (string) $meta_key, 'room_server_' );
}
