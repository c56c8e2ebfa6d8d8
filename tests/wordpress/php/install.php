<?php
/**
 * install.php: WordPress' own installation into an empty database, without mail.
 */

define( 'WP_INSTALLING', true );
$_SERVER['HTTP_HOST'] = '127.0.0.1';

/** Nobody gets mail from the tests. */
function wp_mail() {
	return true;
}

require getenv( 'RS_CORE' ) . '/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';

wp_install( 'Site', 'admin', 'admin@example.org', true, '', 'password' );
update_option( 'timezone_string', 'Europe/Moscow' );
update_option( 'permalink_structure', '/%postname%/' );
