<?php
/**
 * The configuration of every WordPress of the tests: the environment says which one this is.
 *
 * RS_DB_NAME, RS_DB_SOCKET: the database · RS_CONTENT: its wp-content · RS_HOME: its address, with its sub-folder ·
 * RS_CRON: whether visitors set cron off. More constants are in `constants.json` of its wp-content.
 */

define( 'DB_NAME', getenv( 'RS_DB_NAME' ) );
define( 'DB_USER', 'root' );
define( 'DB_PASSWORD', '' );
define( 'DB_HOST', 'localhost:' . getenv( 'RS_DB_SOCKET' ) );
define( 'DB_CHARSET', 'utf8mb4' );
define( 'DB_COLLATE', '' );

foreach ( array( 'AUTH_KEY', 'SECURE_AUTH_KEY', 'LOGGED_IN_KEY', 'NONCE_KEY' ) as $key ) {
	define( $key, "$key of the tests" );
	define( str_replace( '_KEY', '_SALT', $key ), "$key salt of the tests" );
}

define( 'WP_HOME', getenv( 'RS_HOME' ) );
define( 'WP_SITEURL', getenv( 'RS_HOME' ) );
define( 'WP_CONTENT_DIR', getenv( 'RS_CONTENT' ) );
define( 'WP_CONTENT_URL', getenv( 'RS_HOME' ) . '/wp-content' );
define( 'WP_HTTP_BLOCK_EXTERNAL', true );
define( 'WP_ACCESSIBLE_HOSTS', '127.0.0.1,localhost' );
define( 'AUTOMATIC_UPDATER_DISABLED', true );
define( 'DISABLE_WP_CRON', ! getenv( 'RS_CRON' ) );
define( 'WP_DEBUG', true );
define( 'WP_DEBUG_DISPLAY', false );
define( 'WP_DEBUG_LOG', getenv( 'RS_CONTENT' ) . '/debug.log' );

foreach ( json_decode( file_get_contents( getenv( 'RS_CONTENT' ) . '/constants.json' ), true ) as $name => $value ) {
	define( $name, $value );
}

$table_prefix = 'wp_';

if ( ! defined( 'ABSPATH' ) ) {
	define( 'ABSPATH', dirname( __DIR__, 1 ) . '/' );
}
require_once ABSPATH . 'wp-settings.php';
