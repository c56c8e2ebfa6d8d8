<?php
/**
 * A page cache as careless as one can be, in the place where such plugins live: it keeps every page for everybody,
 * whoever is logged in, unless the page says DONOTCACHEPAGE.
 */

$file = WP_CONTENT_DIR . '/cache-' . md5( $_SERVER['REQUEST_URI'] );
if ( 'GET' === ( $_SERVER['REQUEST_METHOD'] ?? '' ) && 'cli' !== PHP_SAPI ) {
	if ( is_file( $file ) ) {
		header( 'X-Cache: hit' );
		readfile( $file );
		exit;
	}
	ob_start(
		static function ( $page ) use ( $file ) {
			if ( ! defined( 'DONOTCACHEPAGE' ) && false !== strpos( $page, '</html>' ) ) {
				file_put_contents( $file, $page );
			}
			return $page;
		}
	);
}
