<?php
/**
 * PHPUnit inside the WordPress that the environment names (see wp-config.php).
 */

$_SERVER['HTTP_HOST']       = '127.0.0.1';
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';
$_SERVER['REQUEST_METHOD']  = 'GET';
require getenv( 'RS_CORE' ) . '/wp-load.php';

/**
 * A test that leaves nothing in the database.
 */
abstract class Room_Server_Test_Case extends PHPUnit\Framework\TestCase {

	/** Begin. */
	protected function setUp(): void {
		global $wpdb;
		$wpdb->query( 'START TRANSACTION' );
		wp_set_current_user( 0 );
	}

	/** Take back. */
	protected function tearDown(): void {
		global $wpdb;
		$wpdb->query( 'ROLLBACK' );
		wp_cache_flush();
	}

	/**
	 * Call a method with a setting changed.
	 *
	 * @param array $settings Settings of the plugin.
	 */
	protected function set( array $settings ) {
		update_option( ROOM_SERVER_OPTION, $settings + get_option( ROOM_SERVER_OPTION, array() ) );
	}
}
