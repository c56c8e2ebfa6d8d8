<?php
/**
 * The settings: where the room server is and which secrets the site shares with it.
 *
 * A constant of wp-config.php, ROOM_SERVER_ and the name in capitals, wins over what the settings page has stored.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** The option that holds what the settings page stores: an array of name => value. */
const ROOM_SERVER_OPTION = 'room_server_settings';

/** Every setting with its default. An empty `events_secret` means that `hook_secret` signs in both directions. */
const ROOM_SERVER_DEFAULTS = array(
	'url'           => '',
	'token_secret'  => '',
	'hook_secret'   => '',
	'events_secret' => '',
	'user_is_lead'  => true,
	'delete_data'   => false,
);

/** Settings that no page ever shows. */
const ROOM_SERVER_SECRETS = array( 'token_secret', 'hook_secret', 'events_secret' );

/** The least length of a token secret in bytes (RFC 7518, 3.2); the server refuses shorter ones. */
const ROOM_SERVER_TOKEN_SECRET_BYTES = 32;

/**
 * The value of a setting.
 *
 * @param string $name A key of ROOM_SERVER_DEFAULTS.
 * @return string|bool
 */
function room_server_setting( $name ) {
	if ( room_server_is_constant( $name ) ) {
		$value = constant( room_server_constant( $name ) );
	} else {
		$stored = get_option( ROOM_SERVER_OPTION, array() );
		$value  = isset( $stored[ $name ] ) ? $stored[ $name ] : ROOM_SERVER_DEFAULTS[ $name ];
	}
	return is_bool( ROOM_SERVER_DEFAULTS[ $name ] ) ? (bool) $value : trim( (string) $value );
}

/**
 * The constant of wp-config.php that sets a setting.
 *
 * @param string $name A key of ROOM_SERVER_DEFAULTS.
 * @return string
 */
function room_server_constant( $name ) {
	return 'ROOM_SERVER_' . strtoupper( $name );
}

/**
 * Whether wp-config.php sets this setting, so that the settings page cannot.
 *
 * @param string $name A key of ROOM_SERVER_DEFAULTS.
 * @return bool
 */
function room_server_is_constant( $name ) {
	return defined( room_server_constant( $name ) );
}

/**
 * The room server's address without a slash at its end, or '' when none is set.
 *
 * @return string
 */
function room_server_url() {
	return untrailingslashit( room_server_setting( 'url' ) );
}

/**
 * The secrets in a setting. Blanks separate several, for a rotation: the first signs tokens, all sign requests, all
 * verify.
 *
 * @param string $name One of ROOM_SERVER_SECRETS.
 * @return string[]
 */
function room_server_secrets( $name ) {
	$value = room_server_setting( $name );
	if ( '' === $value && 'events_secret' === $name ) {
		$value = room_server_setting( 'hook_secret' );
	}
	return preg_split( '/\s+/', $value, -1, PREG_SPLIT_NO_EMPTY );
}

/**
 * Whether address and secrets are set, so that there is a server to talk to.
 *
 * @return bool
 */
function room_server_is_configured() {
	return '' !== room_server_url() && room_server_secrets( 'token_secret' ) && room_server_secrets( 'hook_secret' );
}

/**
 * What is wrong with a value that somebody wants to set, as a sentence that shows no secret, or ''.
 *
 * @param string $name  A key of ROOM_SERVER_DEFAULTS.
 * @param string $value The value; '' is always lawful.
 * @return string
 */
function room_server_setting_problem( $name, $value ) {
	if ( '' === $value ) {
		return '';
	}
	switch ( $name ) {
		case 'url':
			return room_server_is_root( $value ) ? '' : __( 'The address of the room server is like https://rooms.example.org, with nothing behind it.', 'room-server' );
		case 'token_secret':
			return room_server_token_secret_problem( $value );
		case 'hook_secret':
		case 'events_secret':
			$keys = array_map( 'room_server_signing_key', preg_split( '/\s+/', $value ) );
			return in_array( '', $keys, true ) ? __( 'A secret for signed requests begins with whsec_ and goes on in base64, as ROOM_SERVER_HOOK_SECRET of the server does.', 'room-server' ) : '';
	}
	return '';
}

/**
 * Whether this is the root of a web server: scheme and host, perhaps a port.
 *
 * @param string $url An address.
 * @return bool
 */
function room_server_is_root( $url ) {
	$parts = wp_parse_url( $url );
	return is_array( $parts )
		&& isset( $parts['scheme'], $parts['host'] )
		&& in_array( $parts['scheme'], array( 'http', 'https' ), true )
		&& in_array( isset( $parts['path'] ) ? $parts['path'] : '/', array( '/' ), true )
		&& ! array_intersect_key( $parts, array_flip( array( 'user', 'pass', 'query', 'fragment' ) ) );
}

/**
 * What is wrong with token secrets, or ''.
 *
 * @param string $value One secret, or several separated by blanks.
 * @return string
 */
function room_server_token_secret_problem( $value ) {
	foreach ( preg_split( '/\s+/', $value ) as $secret ) {
		if ( strlen( $secret ) < ROOM_SERVER_TOKEN_SECRET_BYTES ) {
			/* translators: %d: number of characters. */
			return sprintf( __( 'A token secret has at least %d characters and no blanks, so a salt of WordPress is none. Copy ROOM_SERVER_TOKEN_SECRET of the server.', 'room-server' ), ROOM_SERVER_TOKEN_SECRET_BYTES );
		}
	}
	return '';
}
