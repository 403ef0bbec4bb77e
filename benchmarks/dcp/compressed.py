import mithril

NAME = "mithril.save_compressed"


def save(state, folder):
    mithril.save_compressed(state, folder)


def load(state, folder):
    mithril.load_compressed(state, folder)
