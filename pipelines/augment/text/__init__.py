"""Text ops over losslessly tokenised documents, one file per family."""
