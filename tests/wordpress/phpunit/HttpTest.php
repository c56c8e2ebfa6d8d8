<?php
/**
 * What the server's answers mean, and when a message is tried again.
 */
class HttpTest extends Room_Server_Test_Case {

	/**
	 * An answer of WordPress' HTTP API.
	 *
	 * @param int    $status  Its status.
	 * @param string $body    Its body.
	 * @param array  $headers Its headers.
	 */
	private function answer( $status, $body = '{}', array $headers = array() ) {
		return room_server_answer(
			array(
				'response' => array( 'code' => $status ),
				'body'     => $body,
				'headers'  => $headers,
			)
		);
	}

	/**
	 * What becomes of a message that gets this answer.
	 *
	 * @param array $answer See answer().
	 */
	private function state( array $answer ) {
		return room_server_outcome( (object) array( 'attempts' => 1 ), $answer )['state'];
	}

	/** Final are a yes and a refusal in the server's own form. */
	public function test_what_is_final() {
		$coded = '{"code":"webinar_unknown","detail":"x"}';
		foreach ( array( 200, 201, 204 ) as $status ) {
			$this->assertSame( 'sent', $this->state( $this->answer( $status, '' ) ) );
		}
		foreach ( array( 400, 403, 404, 409, 413, 422 ) as $status ) {
			$this->assertSame( 'refused', $this->state( $this->answer( $status, $coded ) ) );
			$this->assertSame( 'waiting', $this->state( $this->answer( $status, '<html>' ) ) );
			$this->assertSame( 'waiting', $this->state( $this->answer( $status, '{"code": 7}' ) ) );
		}
		foreach ( array( 301, 401, 408, 425, 429, 500, 502, 503, 504 ) as $status ) {
			$this->assertSame( 'waiting', $this->state( $this->answer( $status, $coded ) ) );
		}
		$this->assertSame( 'waiting', $this->state( $this->answer( 200, "\n<!doctype HTML><p>Suspended" ) ) );
		$this->assertSame( 'waiting', $this->state( room_server_answer( new WP_Error( 'x', 'cURL error 28' ) ) ) );
	}

	/** A number of seconds, or a date; nonsense is no wait. */
	public function test_retry_after() {
		$this->assertSame( 120, room_server_retry_after( '120' ) );
		$this->assertEqualsWithDelta( 300, room_server_retry_after( gmdate( 'D, d M Y H:i:s \G\M\T', time() + 300 ) ), 2 );
		foreach ( array( '', 'soon', '-5', 'Thu, 01 Jan 1970 00:00:00 GMT' ) as $none ) {
			$this->assertSame( 0, room_server_retry_after( $none ) );
		}
	}

	/** What the server asks for is heeded, but not for ever. */
	public function test_the_longest_wait_is_a_day() {
		$this->assertSame( DAY_IN_SECONDS, room_server_delay( 1, 10 * DAY_IN_SECONDS ) );
	}

	/** The clock of the server is that of its answers; a second more or less is no news. */
	public function test_the_clock_is_learned() {
		$this->answer( 200, '{}', array( 'date' => gmdate( 'D, d M Y H:i:s \G\M\T', time() + 120 ) ) );
		$this->assertEqualsWithDelta( time() + 120, room_server_server_time(), 2 );
		$this->answer( 200, '{}', array( 'date' => gmdate( 'D, d M Y H:i:s \G\M\T', time() + 122 ) ) );
		$this->assertEqualsWithDelta( 120, (int) get_option( ROOM_SERVER_CLOCK_OPTION ), 2 );
		$this->answer( 200, '{}', array( 'date' => 'nonsense' ) );
		$this->assertEqualsWithDelta( 120, (int) get_option( ROOM_SERVER_CLOCK_OPTION ), 2 );
	}
}
