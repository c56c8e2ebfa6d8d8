// Gives the stand-in pages of the demo (player, offer, recording) their words.

import { translatePage } from './i18n.js';

translatePage();
