<?php
/**
 * run.php: runs the code on standard input inside WordPress, as the user RS_USER, and prints what it returns as JSON.
 */

$_SERVER['HTTP_HOST']       = '127.0.0.1';
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';
$_SERVER['REQUEST_METHOD']  = 'GET';
require getenv( 'RS_CORE' ) . '/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/plugin.php';
require_once ABSPATH . 'wp-admin/includes/user.php';
wp_set_current_user( (int) getenv( 'RS_USER' ) );

/** In a function, so that its variables are its own. */
function rs_run( $code ) {
	return eval( $code );
}

echo json_encode( rs_run( stream_get_contents( STDIN ) ) ), "\n";
