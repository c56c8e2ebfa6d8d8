<?php
/**
 * Runs when the plugin is deleted: what it has stored stays, unless its settings say otherwise.
 *
 * @package Room_Server
 */

defined( 'WP_UNINSTALL_PLUGIN' ) || exit;

require_once __DIR__ . '/room-server.php';

room_server_remove_cron();
if ( room_server_setting( 'delete_data' ) ) {
	room_server_delete_data();
}
