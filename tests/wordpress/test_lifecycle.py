"""Installing and deleting the plugin, and a network of sites."""

from tests.wordpress.server import RoomServer, event, tell
from tests.wordpress.site import ADMIN, Database, WordPress, wordpress

LEFT = """
global $wpdb;
$ours = static function ( $hook ) { return 0 === strpos( $hook, 'room_server' ); };
$find = static function ( $column, $table, $like ) use ( $wpdb ) {
    return $wpdb->get_col( "SELECT $column FROM $table WHERE $like LIKE 'room\\\\_%'" );
};
return array(
    'tables'  => $wpdb->get_col( "SHOW TABLES LIKE '%room\\\\_server%'" ),
    'options' => $wpdb->get_col( "SELECT option_name FROM $wpdb->options WHERE option_name LIKE '%room\\\\_server%'" ),
    'meta'    => $find( 'meta_key', $wpdb->usermeta, 'meta_key' ),
    'posts'   => $find( 'ID', $wpdb->posts, 'post_type' ),
    'cron'    => array_filter( array_map( 'key', _get_cron_array() ), $ours ),
    'role'    => null !== get_role( 'room_server_speaker' ),
);
"""
DELETE = "deactivate_plugins( ROOM_SERVER_PLUGIN ); uninstall_plugin( ROOM_SERVER_PLUGIN );".replace(
    "ROOM_SERVER_PLUGIN", "'room-server/room-server.php'"
)


async def used(site: WordPress) -> None:
    """Everything that the plugin may store is there."""
    user = await site.user("anna", room_server_lead_id="42")
    await site.post(kind="room_webinar", slug="launch", title="Launch", scheduled_at="2030-12-01T19:00")
    called_off = await site.post(kind="room_webinar", slug="over", title="Called off")
    await site.php(f"room_server_register_user( 'launch', {user} ); update_option( ROOM_SERVER_CLOCK_OPTION, 9 );"
                   f"update_user_meta( {user}, ROOM_SERVER_SEEN_META, 1 );"
                   f"update_user_meta( {user}, 'room_server_telegram', array() ); wp_trash_post( {called_off} );"
                   "room_server_schedule(); set_transient( ROOM_SERVER_REFUSED_TRANSIENT, '', 60 );")  # fmt: skip
    await tell(site, event("client_webinar_entered", lead_id=42))


async def test_deleting_the_plugin_keeps_what_it_has_stored_unless_told_otherwise(
    site: WordPress, server: RoomServer
) -> None:
    await used(site)

    await site.php(DELETE, ADMIN)

    left = await site.php(LEFT)
    assert sorted(left["tables"]) == ["wp_room_server_events", "wp_room_server_outbox"]
    assert left["posts"]
    assert left["cron"] == []


async def test_deleting_the_plugin_deletes_everything_when_it_is_to(mariadb: Database, server: RoomServer) -> None:
    async with wordpress(mariadb, constants={**server.constants(), "ROOM_SERVER_DELETE_DATA": True}) as site:
        await used(site)

        await site.php(DELETE, ADMIN)

        assert await site.php(LEFT) == {"tables": [], "options": [], "meta": [], "posts": [], "cron": [], "role": False}


async def test_an_update_that_changes_the_tables_needs_no_activation(site: WordPress) -> None:
    drop = "$GLOBALS['wpdb']->query( 'DROP TABLE ' . room_server_table( 'events' ) );"
    await site.php(f"delete_option( 'room_server_tables' ); {drop}")

    assert (await tell(site, event("client_webinar_entered", lead_id=42))).status_code == 200


NETWORK = """
foreach ( array( 'upgrade', 'network', 'schema' ) as $part ) {
    require_once ABSPATH . "wp-admin/includes/$part.php";
}
foreach ( $GLOBALS['wpdb']->tables( 'ms_global' ) as $name => $table ) {
    $GLOBALS['wpdb']->$name = $table;
}
install_network();
populate_network( 1, '127.0.0.1', 'admin@example.org', 'Network', '/', false );
"""


async def test_a_network_of_sites_is_refused_in_a_sentence(mariadb: Database) -> None:
    """WordPress made one, as its own documentation has it, in the database of a single site."""
    async with wordpress(mariadb, active=False) as site:
        await site.php(NETWORK, ADMIN)
        site.constants(MULTISITE=True, SUBDOMAIN_INSTALL=False, DOMAIN_CURRENT_SITE="127.0.0.1", PATH_CURRENT_SITE="/",
                       SITE_ID_CURRENT_SITE=1, BLOG_ID_CURRENT_SITE=1)  # fmt: skip
        said = await site.php(
            "$refuse = function ( $said ) { throw new Exception( $said ); };"
            "add_filter( 'wp_die_handler', function () use ( $refuse ) { return $refuse; } );"
            "try { activate_plugin( 'room-server/room-server.php' ); return 'taken'; }"
            "catch ( Exception $refused ) { return $refused->getMessage(); }",
            ADMIN,
        )
        assert said == "Room Server does not support a network of sites (multisite). Use it on a WordPress of its own."
        assert await site.php("return is_plugin_active( 'room-server/room-server.php' );") is False
