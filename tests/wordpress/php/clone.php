<?php
/**
 * clone.php TEMPLATE NAME: a database NAME with the tables of TEMPLATE.
 */

mysqli_report( MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT );
$database = new mysqli( 'localhost', 'root', '', '', 0, getenv( 'RS_DB_SOCKET' ) );
list( , $template, $name ) = $argv;
$database->query( "DROP DATABASE IF EXISTS `$name`" );
$database->query( "CREATE DATABASE `$name` DEFAULT CHARACTER SET utf8mb4" );
foreach ( $database->query( "SHOW TABLES FROM `$template`" )->fetch_all() as list( $table ) ) {
	$database->query( "CREATE TABLE `$name`.`$table` LIKE `$template`.`$table`" );
	$database->query( "INSERT INTO `$name`.`$table` SELECT * FROM `$template`.`$table`" );
}
