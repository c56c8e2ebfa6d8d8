<?php
/**
 * The settings page: address and secrets, and the test of the connection.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/** The page's slug. */
const ROOM_SERVER_SETTINGS_PAGE = 'room-server-settings';

add_action( 'admin_init', 'room_server_register_settings' );
add_action( 'admin_menu', 'room_server_add_settings_page', 20 );
add_filter( 'plugin_action_links_' . plugin_basename( ROOM_SERVER_FILE ), 'room_server_add_settings_link' );

/**
 * The settings as the page shows them: name => label and explanation.
 *
 * @return array<string, string[]>
 */
function room_server_setting_labels() {
	return array(
		'url'           => array( __( 'Address of the room server', 'room-server' ), __( 'Such as https://rooms.example.org, as who runs it has told you.', 'room-server' ) ),
		'token_secret'  => array( __( 'Token secret', 'room-server' ), __( 'ROOM_SERVER_TOKEN_SECRET of the server: with it this site makes the links to rooms.', 'room-server' ) ),
		'hook_secret'   => array( __( 'Hook secret', 'room-server' ), __( 'ROOM_SERVER_HOOK_SECRET of the server: with it this site signs what it says.', 'room-server' ) ),
		'events_secret' => array( __( 'Events secret', 'room-server' ), __( 'ROOM_SERVER_SITE_EVENTS_SECRET of the server, when it has one. Empty: the hook secret.', 'room-server' ) ),
		'user_is_lead'  => array( __( 'Participants', 'room-server' ), __( 'A user’s number here is its lead id, unless its profile names another one. Switch this off where the CRM numbers its leads in another way.', 'room-server' ) ),
		'delete_data'   => array( __( 'When the plugin is deleted', 'room-server' ), __( 'Delete its tables and settings and all webinars of this site.', 'room-server' ) ),
	);
}

/**
 * Register the option and its fields.
 */
function room_server_register_settings() {
	register_setting( ROOM_SERVER_SETTINGS_PAGE, ROOM_SERVER_OPTION, array( 'sanitize_callback' => 'room_server_clean_settings' ) );
	add_settings_section( 'room_server', '', '__return_null', ROOM_SERVER_SETTINGS_PAGE );
	foreach ( room_server_setting_labels() as $name => list( $label, $explanation ) ) {
		add_settings_field(
			"room_server_$name",
			$label,
			'room_server_show_setting',
			ROOM_SERVER_SETTINGS_PAGE,
			'room_server',
			array(
				'label_for'   => "room_server_$name",
				'name'        => $name,
				'explanation' => $explanation,
			)
		);
	}
}

/**
 * Add the page to the menu of webinars.
 */
function room_server_add_settings_page() {
	$title = __( 'Room server', 'room-server' );
	room_server_add_page( ROOM_SERVER_SETTINGS_PAGE, $title, 'manage_options', 'room_server_show_settings_page' );
}

/**
 * Add the page's link to the list of plugins.
 *
 * @param string[] $links The links there are.
 * @return string[]
 */
function room_server_add_settings_link( $links ) {
	array_unshift( $links, room_server_link( room_server_page_url( ROOM_SERVER_SETTINGS_PAGE ), __( 'Settings', 'room-server' ) ) );
	return $links;
}

/**
 * What is stored of what was entered: a value that is not lawful leaves the one that is stored, and so does a secret
 * that was left empty, because no page shows secrets.
 *
 * @param mixed $given What was entered.
 * @return array<string, mixed>
 */
function room_server_clean_settings( $given ) {
	$given  = is_array( $given ) ? $given : array();
	$stored = (array) get_option( ROOM_SERVER_OPTION, array() );
	foreach ( ROOM_SERVER_DEFAULTS as $name => $default ) {
		if ( is_bool( $default ) ) {
			$stored[ $name ] = ! empty( $given[ $name ] );
			continue;
		}
		$value   = isset( $given[ $name ] ) && is_string( $given[ $name ] ) ? trim( $given[ $name ] ) : '';
		$problem = room_server_setting_problem( $name, $value );
		if ( '' !== $problem ) {
			add_settings_error( ROOM_SERVER_OPTION, "room_server_$name", $problem );
		} elseif ( '' !== $value || ! in_array( $name, ROOM_SERVER_SECRETS, true ) ) {
			$stored[ $name ] = $value;
		}
		if ( ! empty( $given[ "remove_$name" ] ) ) {
			unset( $stored[ $name ] );
		}
	}
	return array_intersect_key( $stored, ROOM_SERVER_DEFAULTS );
}

/**
 * Show one setting.
 *
 * @param array<string, string> $field `name` and `explanation`.
 */
function room_server_show_setting( array $field ) {
	$name  = $field['name'];
	$fixed = room_server_is_constant( $name );
	if ( is_bool( ROOM_SERVER_DEFAULTS[ $name ] ) ) {
		room_server_show_box( $name, $field['explanation'], room_server_setting( $name ) );
	} else {
		room_server_show_text( $name );
		printf( '<p class="description">%s</p>', esc_html( $field['explanation'] ) );
	}
	if ( 'events_secret' === $name && ! $fixed && '' !== room_server_setting( $name ) ) {
		room_server_show_box( "remove_$name", __( 'Remove it', 'room-server' ), false );
	}
	if ( $fixed ) {
		/* translators: %s: the name of a constant. */
		$sentence = sprintf( __( 'Set in wp-config.php by %s.', 'room-server' ), room_server_constant( $name ) );
		printf( '<p class="description">%s</p>', esc_html( $sentence ) );
	}
}

/**
 * Show a field for a text. What a secret is, is not shown: dots say that there is one.
 *
 * @param string $name A setting.
 */
function room_server_show_text( $name ) {
	$value  = room_server_setting( $name );
	$secret = in_array( $name, ROOM_SERVER_SECRETS, true );
	printf(
		'<input type="%s" id="%s" name="%s" value="%s" placeholder="%s" class="regular-text" autocomplete="off" %s>',
		$secret ? 'password' : 'url',
		esc_attr( "room_server_$name" ),
		esc_attr( ROOM_SERVER_OPTION . "[$name]" ),
		esc_attr( $secret ? '' : $value ),
		esc_attr( $secret && '' !== $value ? '••••••••' : '' ),
		disabled( room_server_is_constant( $name ), true, false )
	);
}

/**
 * Show a box to tick.
 *
 * @param string $name   Its name.
 * @param string $text   What it says.
 * @param bool   $ticked Whether it is ticked.
 */
function room_server_show_box( $name, $text, $ticked ) {
	printf(
		'<label><input type="checkbox" id="%s" name="%s" value="1" %s %s> %s</label>',
		esc_attr( "room_server_$name" ),
		esc_attr( ROOM_SERVER_OPTION . "[$name]" ),
		checked( $ticked, true, false ),
		disabled( room_server_is_constant( $name ), true, false ),
		esc_html( $text )
	);
}

/**
 * Show the page.
 */
function room_server_show_settings_page() {
	echo '<div class="wrap"><h1>' . esc_html__( 'Room server', 'room-server' ) . '</h1>';
	settings_errors( ROOM_SERVER_OPTION );
	echo '<form method="post" action="options.php">';
	settings_fields( ROOM_SERVER_SETTINGS_PAGE );
	do_settings_sections( ROOM_SERVER_SETTINGS_PAGE );
	submit_button();
	echo '</form>';
	room_server_show_server_lines();
	room_server_show_check();
	echo '</div>';
}

/**
 * Show what the server's own settings have to be.
 */
function room_server_show_server_lines() {
	$lines = array(
		'ROOM_SERVER_SITE_EVENTS_URL=' . rest_url( 'room-server/v1/events' ),
		'ROOM_SERVER_ALLOWED_ORIGINS=' . room_server_origin(),
	);
	printf(
		'<h2>%s</h2><p>%s</p><pre class="room-server-lines">%s</pre>',
		esc_html__( 'On the server', 'room-server' ),
		esc_html__( 'These settings of the server let it tell this site what happens, and let this site show the room.', 'room-server' ),
		esc_html( implode( "\n", $lines ) )
	);
}

/**
 * This site's origin: scheme, host and port.
 *
 * @return string
 */
function room_server_origin() {
	$parts = wp_parse_url( home_url() );
	return "$parts[scheme]://$parts[host]" . ( isset( $parts['port'] ) ? ":$parts[port]" : '' );
}
