<?php
/**
 * What a web server's rewrite rules do, for `php -S`: files of WordPress and of this site's wp-content, and index.php
 * for everything else. RS_HOME may have a sub-folder. /rs-run is run.php.
 */

$root   = $_SERVER['DOCUMENT_ROOT'];
$prefix = rtrim( (string) parse_url( getenv( 'RS_HOME' ), PHP_URL_PATH ), '/' );
$path   = rawurldecode( (string) parse_url( $_SERVER['REQUEST_URI'], PHP_URL_PATH ) );

if ( '' !== $prefix && 0 !== strpos( $path, "$prefix/" ) ) {
	http_response_code( 404 );
	echo 'outside of the sub-folder';
	return true;
}
$inside = substr( $path, strlen( $prefix ) );
if ( false !== strpos( $inside, '..' ) ) {
	http_response_code( 400 );
	return true;
}
if ( '/rs-run' === $inside ) {
	require __DIR__ . '/run.php';
	return true;
}
$file = 0 === strpos( $inside, '/wp-content/' ) ? getenv( 'RS_CONTENT' ) . substr( $inside, strlen( '/wp-content' ) ) : $root . $inside;
if ( is_dir( $file ) ) {
	$file   = rtrim( $file, '/' ) . '/index.php';
	$inside = rtrim( $inside, '/' ) . '/index.php';
}
if ( is_file( $file ) && '.php' !== substr( $file, -4 ) ) {
	$types = array(
		'css' => 'text/css',
		'js'  => 'text/javascript',
		'svg' => 'image/svg+xml',
		'png' => 'image/png',
		'jpg' => 'image/jpeg',
	);
	$end   = pathinfo( $file, PATHINFO_EXTENSION );
	header( 'Content-Type: ' . ( $types[ $end ] ?? 'application/octet-stream' ) );
	readfile( $file );
	return true;
}
if ( ! is_file( $file ) ) {
	$file   = "$root/index.php";
	$inside = '/index.php';
}
$_SERVER['SCRIPT_NAME']     = $prefix . $inside;
$_SERVER['PHP_SELF']        = $prefix . $inside;
$_SERVER['SCRIPT_FILENAME'] = $file;
chdir( dirname( $file ) );
require $file;
