<?php
/**
 * What the plugin's pages in the admin share: their place in the menu, their addresses, their tables.
 *
 * @package Room_Server
 */

defined( 'ABSPATH' ) || exit;

/**
 * Add a page to the menu of webinars.
 *
 * @param string   $slug       The page's slug.
 * @param string   $title      Its title.
 * @param string   $capability Who may see it.
 * @param callable $show       Prints it.
 */
function room_server_add_page( $slug, $title, $capability, $show ) {
	add_submenu_page( 'edit.php?post_type=' . ROOM_SERVER_POST_TYPE, $title, $title, $capability, $slug, $show );
}

/**
 * The address of a page.
 *
 * @param string               $slug  The page's slug.
 * @param array<string, mixed> $query More of the query; empty values are left out.
 * @return string
 */
function room_server_page_url( $slug, array $query = array() ) {
	$all = array(
		'post_type' => ROOM_SERVER_POST_TYPE,
		'page'      => $slug,
	);
	return add_query_arg( array_filter( $all + $query ), admin_url( 'edit.php' ) );
}

/**
 * A link.
 *
 * @param string $url   Where it leads.
 * @param string $text  What it says.
 * @param string $class Its class.
 * @return string HTML.
 */
function room_server_link( $url, $text, $class = '' ) {
	return sprintf( '<a class="%s" href="%s">%s</a>', esc_attr( $class ), esc_url( $url ), esc_html( $text ) );
}

/**
 * Print a table.
 *
 * @param string   $name    What it is about, for style sheets and tests.
 * @param string[] $columns The headings of its columns.
 * @param array[]  $rows    For each line `data`, its attributes without `data-`, and `cells`, texts.
 */
function room_server_show_table( $name, array $columns, array $rows ) {
	printf( '<table class="wp-list-table widefat striped" data-table="%s"><thead><tr>', esc_attr( $name ) );
	foreach ( $columns as $column ) {
		printf( '<th scope="col">%s</th>', esc_html( $column ) );
	}
	echo '</tr></thead><tbody>';
	foreach ( $rows as $row ) {
		echo '<tr';
		foreach ( $row['data'] as $attribute => $value ) {
			printf( ' data-%s="%s"', esc_attr( $attribute ), esc_attr( $value ) );
		}
		echo '>';
		foreach ( $row['cells'] as $cell ) {
			printf( '<td>%s</td>', esc_html( $cell ) );
		}
		echo '</tr>';
	}
	echo '</tbody></table>';
}
