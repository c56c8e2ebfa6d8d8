/* The button "Test the connection": asks once, then waits for the server's event. */
( function ( settings ) {
	'use strict';

	var button = document.getElementById( 'room-server-check' );

	function place( direction ) {
		return document.querySelector( '[data-direction="' + direction + '"]' );
	}

	function tell( direction, state, sentence ) {
		var line = place( direction );
		line.dataset.state = state;
		line.className = state === 'ok' ? 'notice notice-success' : state === 'fault' ? 'notice notice-error' : '';
		line.textContent = ( state === 'ok' ? '✓ ' : state === 'fault' ? '✗ ' : '' ) + sentence;
	}

	function ask( action, nonce ) {
		var body = new URLSearchParams( { action: action, _ajax_nonce: settings.nonce, nonce: nonce || '' } );
		return fetch( settings.url, { method: 'POST', body: body, credentials: 'same-origin' } ).then( function ( answer ) {
			return answer.json();
		} );
	}

	function pause() {
		return new Promise( function ( resolve ) {
			setTimeout( resolve, 1000 );
		} );
	}

	function hear( nonce, until ) {
		return ask( 'room_server_heard', nonce ).then( function ( answer ) {
			if ( answer.success || Date.now() > until ) {
				return tell( 'in', answer.success ? 'ok' : 'fault', answer.data );
			}
			return pause().then( function () {
				return hear( nonce, until );
			} );
		} );
	}

	function check() {
		button.disabled = true;
		tell( 'out', '', settings.asking );
		tell( 'in', '', '' );
		ask( 'room_server_check' ).then( function ( answer ) {
			if ( ! answer.success ) {
				return tell( 'out', 'fault', answer.data );
			}
			tell( 'out', 'ok', answer.data.sentence );
			if ( answer.data.fault ) {
				return tell( 'in', 'fault', answer.data.fault );
			}
			tell( 'in', '', settings.waiting );
			return hear( answer.data.nonce, Date.now() + 1000 * settings.seconds );
		} ).catch( function () {
			tell( 'out', 'fault', settings.failed );
		} ).then( function () {
			button.disabled = false;
		} );
	}

	button.addEventListener( 'click', check );
} )( window.roomServerCheck );
