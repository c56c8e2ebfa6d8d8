<?php
/**
 * Signatures and tokens.
 */
class SigningTest extends Room_Server_Test_Case {

	const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

	/** The example of the Standard Webhooks specification's own libraries. */
	public function test_a_known_signature_is_made() {
		$signature = room_server_signature( 'msg_p5jXN8AQM9LWM0D4loKWxJek', '1614265330', '{"test": 2432232314}', array( self::SECRET ) );
		$this->assertSame( 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=', $signature );
	}

	/** Each secret of a rotation signs; a secret of another form signs nothing. */
	public function test_all_secrets_sign() {
		$this->assertCount( 2, explode( ' ', room_server_signature( 'a', '1', '{}', array( self::SECRET, 'whsec_b3RoZXI=', 'salt' ) ) ) );
		$this->assertSame( '', room_server_signature( 'a', '1', '{}', array( '', 'whsec_', 'whsec_***' ) ) );
	}

	/** What is wrong with a request has a word. */
	public function test_faults_have_names() {
		$this->set( array( 'hook_secret' => self::SECRET ) );
		$now  = (string) time();
		$sign = static function ( $id, $time, $body ) {
			return room_server_signature( $id, $time, $body, array( self::SECRET ) );
		};
		$this->assertSame( '', room_server_signature_fault( 'a', $now, 'v1,nonsense ' . $sign( 'a', $now, 'x' ), 'x' ) );
		$this->assertSame( 'forged', room_server_signature_fault( 'a', $now, $sign( 'a', $now, 'x' ), 'y' ) );
		$this->assertSame( 'forged', room_server_signature_fault( 'b', $now, $sign( 'a', $now, 'x' ), 'x' ) );
		$this->assertSame( 'unsigned', room_server_signature_fault( 'a', '1e9', $sign( 'a', '1e9', 'x' ), 'x' ) );
		$this->assertSame( 'unsigned', room_server_signature_fault( '', $now, $sign( '', $now, 'x' ), 'x' ) );
		$old = (string) ( time() - ROOM_SERVER_TOLERANCE - 5 );
		$this->assertSame( 'stale', room_server_signature_fault( 'a', $old, $sign( 'a', $old, 'x' ), 'x' ) );
		$this->assertSame( 'forged', room_server_signature_fault( 'a', $old, 'v1,nonsense', 'x' ) );
	}

	/** Without a secret nobody is the server, not even with a signature by an empty key. */
	public function test_no_secret_verifies_nothing() {
		$now   = (string) time();
		$empty = 'v1,' . base64_encode( hash_hmac( 'sha256', "a.$now.x", '', true ) );
		foreach ( array( '', 'whsec_', 'whsec_***' ) as $secret ) {
			$this->set( array( 'hook_secret' => $secret ) );
			$this->assertNotSame( '', room_server_signature_fault( 'a', $now, $empty, 'x' ) );
		}
	}

	/** The example of RFC 7515, A.1, has another header; what counts is that the parts are as RFC 7519 has them. */
	public function test_a_token_is_a_jwt() {
		$this->set( array( 'token_secret' => 'first-secret-of-the-tests-that-is-long second' ) );
		list( $head, $claims, $signature ) = explode( '.', room_server_token( array( 'name' => 'Анна' ) ) );
		$this->assertSame( '{"alg":"HS256","typ":"JWT"}', base64_decode( $head ) );
		$this->assertSame( array( 'name' => 'Анна' ), json_decode( base64_decode( strtr( $claims, '-_', '+/' ) ), true ) );
		$this->assertSame( room_server_base64url( hash_hmac( 'sha256', "$head.$claims", 'first-secret-of-the-tests-that-is-long', true ) ), $signature );
	}

	/** An order's subject is another one on another site. */
	public function test_subjects_are_the_sites_own() {
		$here = room_server_order_subject( 7 );
		add_filter( 'home_url', array( $this, 'elsewhere' ) );
		$this->assertNotSame( $here, room_server_order_subject( 7 ) );
		remove_filter( 'home_url', array( $this, 'elsewhere' ) );
	}

	/** The address of another site. */
	public function elsewhere() {
		return 'https://other.example.org';
	}
}
