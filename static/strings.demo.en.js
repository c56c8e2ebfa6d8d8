// The words of the demo's stand-in pages in English.

export default {
  'demo.player': 'Sample broadcast',
  'demo.player.text': 'Your player goes here.',
  'demo.cta': 'Sample offer',
  'demo.cta.text': 'This is where the speaker’s button leads during the broadcast. In a real webinar it is your own page.',
  'demo.recording': 'Sample recording',
  'demo.recording.text': 'This is where the recording link leads. In a real webinar it is your video.',
};
