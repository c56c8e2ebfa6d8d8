<?php
/**
 * Plugin Name:       Room Server
 * Description:       Live webinars on this site: rooms, registration and attendance, run by a room server.
 * Version:           0.1.0
 * Requires at least: 6.1
 * Requires PHP:      7.4
 * License:           GPL-2.0-or-later
 * License URI:       https://www.gnu.org/licenses/gpl-2.0.html
 * Text Domain:       room-server
 * Domain Path:       /languages
 *
 * This file only loads the parts. `in/` hears what the server says, `out/` tells the server what the site says,
 * `content/` is what visitors see, `people/` is what those who run the site see.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

define( 'ROOM_SERVER_FILE', __FILE__ );
define( 'ROOM_SERVER_VERSION', '0.1.0' );

foreach (
	array(
		'settings',
		'signing',
		'token',
		'http',
		'tables',
		'cron',
		'lifecycle',
		'in/class-room-server-guarded-listener',
		'in/endpoint',
		'in/inbox',
		'in/run',
		'out/outbox',
		'out/send',
		'out/actions',
		'content/post-type',
		'content/fields',
		'content/meta-box',
		'content/plan',
		'content/lead',
		'content/registration',
		'content/telegram',
		'content/room',
		'content/schedule',
		'content/blocks',
		'people/pages',
		'people/settings-page',
		'people/check',
		'people/attendance',
		'people/attendance-table',
		'people/report',
		'people/deliveries',
		'people/notices',
		'people/privacy',
	) as $room_server_part
) {
	require __DIR__ . "/includes/$room_server_part.php";
}
unset( $room_server_part );

register_activation_hook( ROOM_SERVER_FILE, 'room_server_activate' );
register_deactivation_hook( ROOM_SERVER_FILE, 'room_server_deactivate' );
