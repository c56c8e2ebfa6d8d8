<?php
/**
 * Settings and fields: what is lawful.
 */
class FieldsTest extends Room_Server_Test_Case {

	/** Addresses of the server. */
	public function test_the_servers_address_is_a_root() {
		foreach ( array( 'https://rooms.example.org', 'http://127.0.0.1:8000/', 'https://[::1]:8443' ) as $url ) {
			$this->assertSame( '', room_server_setting_problem( 'url', $url ), $url );
		}
		foreach ( array( 'rooms.example.org', 'ftp://x', 'https://x/y', 'https://x/?y', 'https://x#y', 'https://u:p@x', 'nonsense', 'https://' ) as $url ) {
			$this->assertNotSame( '', room_server_setting_problem( 'url', $url ), $url );
		}
	}

	/** Secrets, several for a rotation. No sentence shows one. */
	public function test_secrets() {
		$token = str_repeat( 'x', 32 );
		foreach ( array( array( 'token_secret', "$token $token" ), array( 'hook_secret', 'whsec_MfKQ whsec_MfKQ' ), array( 'events_secret', '' ) ) as list( $name, $value ) ) {
			$this->assertSame( '', room_server_setting_problem( $name, $value ) );
		}
		foreach ( array( array( 'token_secret', 'a salt with blanks' ), array( 'token_secret', "$token short" ), array( 'hook_secret', 'MfKQ' ), array( 'hook_secret', 'whsec_MfKQ whsec_*' ) ) as list( $name, $value ) ) {
			$problem = room_server_setting_problem( $name, $value );
			$this->assertNotSame( '', $problem );
			$this->assertStringNotContainsString( $value, $problem );
		}
	}

	/** Ids of webinars. */
	public function test_ids() {
		foreach ( array( 'a', 'A_b-9', str_repeat( 'x', 64 ) ) as $id ) {
			$this->assertTrue( room_server_is_webinar_id( $id ) );
		}
		foreach ( array( '', "a\n", 'a b', 'ä', '%d0%b2', str_repeat( 'x', 65 ), 7, null ) as $id ) {
			$this->assertFalse( room_server_is_webinar_id( $id ) );
		}
	}

	/** The same moment in summer and in winter, in a zone that has both; and an hour that there is twice. */
	public function test_times_are_in_the_sites_zone() {
		update_option( 'timezone_string', 'Europe/Berlin' );
		$this->assertSame( '2030-07-01T10:00:00+02:00', room_server_clean_time( '2030-07-01T10:00' ) );
		$this->assertSame( '2030-01-01T10:00:00+01:00', room_server_clean_time( '2030-01-01 10:00:00' ) );
		$this->assertSame( '2030-01-01T11:00:00+01:00', room_server_clean_time( '2030-01-01T10:00:00.123Z' ) );
		update_option( 'timezone_string', '' );
		update_option( 'gmt_offset', 5.5 );
		$this->assertSame( '2030-01-01T10:00:00+05:30', room_server_clean_time( '2030-01-01T10:00' ) );
		foreach ( array( '', '2030-13-01T10:00', '2030-02-30T10:00', '2030-01-01T24:01', '1 May', array(), null, 7 ) as $none ) {
			$this->assertSame( '', room_server_clean_time( $none ) );
		}
	}

	/** Texts of a post become what people read. */
	public function test_plain() {
		$this->assertSame( 'Tom & Jerry’s «show»', room_server_plain( '<b>Tom</b> &amp; Jerry&#8217;s «show»<script>x</script> ' ) );
	}

	/** Whom the meta names, else the user, unless the settings say that users are no leads. */
	public function test_leads() {
		$user = wp_insert_user( array( 'user_login' => 'lena', 'user_pass' => 'x' ) );
		$this->assertSame( $user, room_server_lead_of( $user ) );
		$this->assertSame( array( $user ), room_server_users_of( $user ) );
		update_user_meta( $user, ROOM_SERVER_LEAD_META, '77' );
		$this->assertSame( 77, room_server_lead_of( $user ) );
		$this->assertSame( array( $user ), room_server_users_of( 77 ) );
		$this->assertSame( 0, room_server_lead_of( 0 ) );
		delete_user_meta( $user, ROOM_SERVER_LEAD_META );
		$this->set( array( 'user_is_lead' => false ) );
		$this->assertSame( 0, room_server_lead_of( $user ) );
	}
}
