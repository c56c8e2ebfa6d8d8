// The words of the demo's stand-in pages in Russian.

export default {
  'demo.player': 'Пробная трансляция',
  'demo.player.text': 'Здесь будет ваш плеер.',
  'demo.cta': 'Пробное предложение',
  'demo.cta.text': 'Сюда ведёт кнопка, которую спикер показывает во время эфира. У настоящего вебинара это ваша страница.',
  'demo.recording': 'Пробная запись',
  'demo.recording.text': 'Сюда ведёт ссылка на запись. У настоящего вебинара это ваше видео.',
};
