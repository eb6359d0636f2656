"""Operations on images, and contact sheets."""
