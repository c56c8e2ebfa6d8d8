// Gives the stand-in pages of the demo (player, offer, recording) their words.

import { start } from './i18n.js';

start(() => {}, 'demo');
