<?php
/**
 * run.php: runs code inside WordPress, as the user RS_USER, and prints what it returns as JSON. The code comes on
 * standard input, or, with the user, in a request to `/rs-run`.
 */

$from_web                   = 'cli-server' === PHP_SAPI;
$code                       = file_get_contents( $from_web ? 'php://input' : 'php://stdin' );
$user_id                    = (int) ( $from_web ? $_GET['user'] : getenv( 'RS_USER' ) );
$_GET                       = array();
$_SERVER['HTTP_HOST']       = '127.0.0.1';
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';
$_SERVER['REQUEST_METHOD']  = 'GET';
$_SERVER['REQUEST_URI']     = '/';
set_time_limit( 0 );
require getenv( 'RS_CORE' ) . '/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/plugin.php';
require_once ABSPATH . 'wp-admin/includes/user.php';
wp_set_current_user( $user_id );

/** In a function, so that its variables are its own. */
function rs_run( $code ) {
	return eval( $code );
}

echo json_encode( rs_run( $code ) ), "\n";
