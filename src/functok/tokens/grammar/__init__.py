"""Function tokens by grammar: lexicon, treebanks, sub-classes."""
